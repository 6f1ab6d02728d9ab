"""The server: federated averaging over all three Vaults, with the times of the rounds and what they cost in CPU.

The clock runs from the moment at which all Vaults are there to the end of the last round. CPU seconds are those of
all processes that the benchmark started.
"""

import json
import time
from pathlib import Path

import numpy as np
from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from retail import cost, model

VAULTS = 3
WAIT_S = 120

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Trains, judges nothing, and writes weights and times."""
    config = context.run_config
    rows, _ = model.read(str(config["rows"]), vault=0, held_out=False)
    wait_for_vaults(grid)
    strategy = FedAvg(
        fraction_evaluate=0.0, min_train_nodes=VAULTS, min_evaluate_nodes=0, min_available_nodes=VAULTS)
    ends, cpu = [], cost.cpu_seconds()
    begin = time.monotonic()

    def note(_: int, __: ArrayRecord) -> None:
        ends.append(time.monotonic() - begin)

    trained = strategy.start(
        grid=grid, initial_arrays=ArrayRecord([np.zeros(rows.shape[1])]), num_rounds=int(config["rounds"]),
        evaluate_fn=note)
    figures = {
        "round_ends_s": ends[1:],
        "cpu_s": cost.cpu_seconds() - cpu,
        "weights": trained.arrays.to_numpy_ndarrays()[0].tolist(),
    }
    out = Path(str(config["out"]))
    out.with_suffix(".part").write_text(json.dumps(figures), encoding="utf-8")
    out.with_suffix(".part").rename(out)


def wait_for_vaults(grid: Grid) -> None:
    """Waits until all Vaults are connected."""
    deadline = time.monotonic() + WAIT_S
    while len(list(grid.get_node_ids())) < VAULTS:
        if time.monotonic() > deadline:
            raise TimeoutError("not all Vaults came")
        time.sleep(0.2)
