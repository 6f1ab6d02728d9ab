"""A Vault: one step over its own people a message."""

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from retail import model

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Takes the step and says how many people it was made of."""
    config = context.run_config
    rows, labels = model.read(str(config["rows"]), int(context.node_config["partition-id"]), held_out=False)
    weights = message.content["arrays"].to_numpy_ndarrays()[0]
    stepped = model.step(weights, rows, labels, float(config["learning-rate"]), float(config["penalty"]))
    content = RecordDict({
        "arrays": ArrayRecord([np.asarray(stepped)]),
        "metrics": MetricRecord({"num-examples": len(rows)}),
    })
    return Message(content=content, reply_to=message)
