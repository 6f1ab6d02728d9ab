"""The model of both sides: the rows of one Vault, and one full-batch step of logistic regression over them."""

import functools

import numpy as np


@functools.lru_cache
def read(path: str, vault: int | None, held_out: bool) -> tuple[np.ndarray, np.ndarray]:
    """Features with a column of ones, and labels; of all Vaults where `None`. Read once a process."""
    with np.load(path) as table:
        chosen = table["held_out"] == held_out
        if vault is not None:
            chosen &= table["vault"] == vault
        features = table["features"][chosen].astype(float)
        return np.column_stack([features, np.ones(len(features))]), table["label"][chosen]


def step(weights: np.ndarray, rows: np.ndarray, labels: np.ndarray, rate: float, penalty: float) -> np.ndarray:
    """The weights after one step down the mean gradient; the bias, the last, is not pulled to zero.

    Averaged over Vaults by their people this is one step over everybody.
    """
    scores = rows @ weights
    power = np.exp(-np.abs(scores))
    chances = np.where(scores >= 0, 1.0, power) / (1.0 + power)
    gradient = (chances - labels) @ rows / len(rows)
    gradient[:-1] += penalty * weights[:-1]
    return weights - rate * gradient
