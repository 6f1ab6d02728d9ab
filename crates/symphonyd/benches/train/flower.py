"""Rounds a second of Flower on the same rows and the same model as the platform: three Vaults, federated averaging, one
full-batch step a round, nobody's gradient cut and no noise, judged on the same held-out households.

Measured one after the other: the deployment runtime (a SuperLink and three SuperNodes as processes on loopback, without
TLS) and the simulation engine (Ray). Flower's own settings are left as they are. Every process has an end in time and
is ended by its id. Linux only: CPU seconds are read from `/proc`.

    python flower.py ROWS.csv [--rounds 20] [--learning-rate 1.0] [--penalty 0.0001] [--only deployment|simulation]

`ROWS.csv` is what `baseline.py --rows` wrote. Prints JSON.
"""

import argparse
import contextlib
import ctypes
import importlib.metadata
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd

import descent

APP = Path(__file__).resolve().parent / "flower"
sys.path.insert(0, str(APP))
from retail import cost, model  # noqa: E402 (the app is no installed package)

VAULTS = 3
START_S = 60
END_S = 10
# From `linux/prctl.h`: orphans among the descendants become children of this process.
SET_CHILD_SUBREAPER = 36


class Network:
    """The processes of one measurement."""

    def __init__(self, folder: Path):
        self.folder = folder
        programs = Path(sys.executable).parent
        self.environment = os.environ | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            cost.ROOT: str(os.getpid()),
            "FLWR_HOME": str(folder / "home"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": str(folder),
            "OPENBLAS_NUM_THREADS": "1",
        }
        self.started: list[subprocess.Popen] = []

    def start(self, name: str, *command: str) -> subprocess.Popen:
        """Starts a process that writes to a file of its name."""
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, env=self.environment, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True)
        self.started.append(process)
        return process

    def alive(self) -> None:
        """Fails where a process that should serve has ended."""
        for process in self.started:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args[0]} ended: {self.logs()}")

    def logs(self) -> str:
        """The ends of all logs."""
        parts = (f"{path.name}: {path.read_text(errors='replace')[-1500:]}" for path in self.folder.glob("*.log"))
        return "\n".join(parts)

    def end(self) -> None:
        """Asks all processes to end, and ends those that do not, by their ids."""
        for process in reversed(self.started):
            if process.poll() is None:
                process.terminate()
        deadline = time.monotonic() + END_S
        for process in self.started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        # What a process leaves behind becomes a child of this one.
        while left := cost.descendants(os.getpid()):
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, 0)


def measure(mode: str, rows: Path, given: argparse.Namespace) -> dict:
    """One run of the app. **Units**: seconds."""
    # Ray keeps sockets in this folder, whose paths must be short.
    folder = Path(tempfile.mkdtemp(prefix="flwr-", dir="/tmp"))
    network = Network(folder)
    try:
        address = superlink(network, mode)
        if mode == "deployment":
            for vault in range(VAULTS):
                supernode(network, address, vault)
        connection(folder, address)
        out = folder / "out.json"
        config = (f"rows='{rows}' out='{out}' rounds={given.rounds} learning-rate={given.learning_rate!r} "
                  f"penalty={given.penalty!r}")
        app = folder / "app"
        shutil.copytree(APP, app, ignore=shutil.ignore_patterns("__pycache__"))
        command = ["flwr", "run", str(app), "measured", "--run-config", config]
        if mode == "simulation":
            # Ray reserves a processor for each Vault, and as many Vaults compute at once.
            simulated = f"num-supernodes={VAULTS} client-resources-num-cpus=1 init-args-num-cpus={given.ray_cpus}"
            command += ["--federation-config", simulated]
        asked = subprocess.run(
            command, env=network.environment, cwd=folder,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=START_S, check=False)
        if asked.returncode != 0:
            raise RuntimeError(f"flwr run: {asked.stdout}{asked.stderr}")
        return json.loads(result(network, out, given.timeout))
    finally:
        network.end()
        shutil.rmtree(folder, ignore_errors=True)


def superlink(network: Network, mode: str) -> str:
    """Starts a SuperLink and waits until it answers. Returns its address."""
    port = free_port()
    simulation = ["--simulation"] if mode == "simulation" else []
    network.start("superlink", "flower-superlink", "--insecure", "--disable-runtime-dependency-installation",
                  "--host", "127.0.0.1", "--port", str(port), *simulation)
    wait_for(network, lambda: answers(f"http://127.0.0.1:{port}/health"))
    return f"127.0.0.1:{port}"


def supernode(network: Network, address: str, vault: int) -> None:
    """Starts the SuperNode of a Vault."""
    network.start(f"supernode-{vault}", "flower-supernode", "--insecure", "--superlink", address,
                  "--host", "127.0.0.1", "--port", str(free_port()),
                  "--node-config", f"partition-id={vault} num-partitions={VAULTS}")


def connection(folder: Path, address: str) -> None:
    """Writes where the command line finds the SuperLink."""
    text = f'[superlink]\ndefault = "measured"\n\n[superlink.measured]\naddress = "{address}"\ninsecure = true\n'
    home = folder / "home"
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(text, encoding="utf-8")


def result(network: Network, out: Path, timeout: float) -> str:
    """What the server wrote, once it is there."""
    wait_for(network, out.exists, timeout)
    return out.read_text(encoding="utf-8")


def wait_for(network: Network, fact, timeout: float = START_S) -> None:
    """Waits until `fact()` holds. **Errors**: a process ended, or it took too long."""
    deadline = time.monotonic() + timeout
    while not fact():
        network.alive()
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing after {timeout} s: {network.logs()}")
        time.sleep(0.1)


def answers(url: str) -> bool:
    """Whether a server answers well."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def expected(rows: Path, given: argparse.Namespace) -> np.ndarray:
    """The weights after the same steps over everybody, without any federation."""
    features, labels = model.read(str(rows), None, False)
    weights = np.zeros(features.shape[1])
    for _ in range(given.rounds):
        weights = model.step(weights, features, labels, given.learning_rate, given.penalty)
    return weights


def summary(run: dict, rows: Path, weights: np.ndarray) -> dict:
    """The figures of one run."""
    ends = np.array(run["round_ends_s"])
    rounds = np.diff(ends, prepend=0.0)
    features, labels = model.read(str(rows), None, True)
    return {
        "rounds": len(ends),
        "seconds_per_round": float(ends[-1] / len(ends)),
        "first_round_s": float(rounds[0]),
        "median_round_s": float(np.median(rounds)),
        "rounds_per_second": float(len(ends) / ends[-1]),
        "cpu_seconds_per_round": run["cpu_s"] / len(ends),
        "auc": descent.auc(labels.astype(bool), features @ np.array(run["weights"])),
        "largest_distance_from_plain_descent": float(np.abs(np.array(run["weights"]) - weights).max()),
    }


def packed(table: Path, folder: Path) -> Path:
    """The rows as arrays, which are read faster than text."""
    frame = pd.read_csv(table)
    names = [name for name in frame.columns if name.startswith("f") and name[1:].isdigit()]
    rows = folder / "rows.npz"
    np.savez(rows, features=frame[names].to_numpy(np.float32), label=frame.label.to_numpy(float),
             vault=frame.vault.to_numpy(), held_out=frame.held_out.to_numpy() == 1)
    return rows


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("rows", type=Path, help="what baseline.py --rows wrote for one task")
    arguments.add_argument("--rounds", type=int, default=20)
    arguments.add_argument("--learning-rate", type=float, default=1.0)
    arguments.add_argument("--penalty", type=float, default=0.0001)
    arguments.add_argument("--only", choices=("deployment", "simulation"))
    arguments.add_argument("--ray-cpus", type=int, default=VAULTS, help="Vaults that Ray simulates at once")
    arguments.add_argument("--timeout", type=float, default=900.0, help="the most seconds of one run")
    given = arguments.parse_args()
    if ctypes.CDLL(None, use_errno=True).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "becoming the parent of orphans")
    # So that what was started is ended, whoever ends this process.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    versions = {name: importlib.metadata.version(name) for name in ("flwr", "ray", "numpy")}
    figures = {"versions": versions, "cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as folder:
        rows = packed(given.rows, Path(folder))
        weights = expected(rows, given)
        for mode in [given.only] if given.only else ["deployment", "simulation"]:
            figures[mode] = summary(measure(mode, rows, given), rows, weights)
    json.dump(figures, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
