"""Clipped gradient descent with noise for logistic regression, and what it costs in privacy, in plain numpy.

One step: every person's gradient is cut to norm `clip`; their sum is noised with standard deviation `noise * clip` a
coordinate and divided by the number of people; the penalty pulls all weights but the bias; a velocity keeps `momentum`
of the last step. Clipped sums do not care which Vault a person lives in, so this is the federated training. `T` steps
that see everybody compose to one Gaussian of `mu = sqrt(T) / noise`, exactly; the loss is that of one person added or
removed (R097, R098). Source of both formulas: Balle and Wang 2018 (theorem 8); Dong, Roth and Su 2019 (corollary 3.3).
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, log_ndtr


@dataclass(frozen=True)
class Settings:
    """How a model is trained. **Units**: natural numbers; `noise` in clipping norms."""

    rounds: int
    clip: float
    learning_rate: float
    momentum: float
    penalty: float

    @classmethod
    def of(cls, task: dict) -> "Settings":
        """Those of a task's JSON."""
        return cls(rounds=task["rounds"], **task["settings"])


def descend(features: np.ndarray, labels: np.ndarray, settings: Settings, noise: float, seed: int) -> np.ndarray:
    """The weights after all steps, the bias last."""
    rows = np.column_stack([features.astype(float), np.ones(len(features))])
    norms = np.linalg.norm(rows, axis=1)
    stream = np.random.default_rng(seed)
    weights, velocity = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    for _ in range(settings.rounds):
        residuals = expit(rows @ weights) - labels
        # A gradient is the row times its residual, and so is its norm.
        residuals /= np.maximum(1.0, np.abs(residuals) * norms / settings.clip)
        total = residuals @ rows + noise * settings.clip * stream.standard_normal(len(weights))
        pull = settings.penalty * weights
        pull[-1] = 0.0
        velocity = settings.momentum * velocity + total / len(rows) + pull
        weights = weights - settings.learning_rate * velocity
    return weights


def scores(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The logit of each person."""
    return features.astype(float) @ weights[:-1] + weights[-1]


def delta_of(epsilon: float, mu: float) -> float:
    """The chance that a Gaussian of this `mu` loses more than `epsilon`."""
    above = math.exp(log_ndtr(mu / 2 - epsilon / mu))
    return above - math.exp(epsilon + log_ndtr(-mu / 2 - epsilon / mu))


def noise_for(epsilon: float, delta: float, times: int) -> float:
    """The least noise, in thousandths rounded up, with which so many releases cost at most `(epsilon, delta)`."""
    low, high = 1e-6, 1e3
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if delta_of(epsilon, middle) <= delta else (low, middle)
    return math.ceil(math.sqrt(times) / low * 1000) / 1000


def epsilon_of(noise: float, delta: float, times: int) -> float:
    """What so many releases with this noise cost at `delta`."""
    mu, low, high = math.sqrt(times) / noise, 0.0, 1e3
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if delta_of(middle, mu) <= delta else (middle, high)
    return high


def auc(labels: np.ndarray, values: np.ndarray) -> float:
    """The chance that somebody with the label scores above somebody without; equals count half."""
    order = np.argsort(values, kind="stable")
    _, place, count = np.unique(values[order], return_inverse=True, return_counts=True)
    ranks = np.empty(len(values))
    ranks[order] = (np.cumsum(count) - (count - 1) / 2)[place]
    positive = labels.sum()
    negative = len(labels) - positive
    return float((ranks[labels].sum() - positive * (positive + 1) / 2) / (positive * negative))


def log_loss(labels: np.ndarray, values: np.ndarray) -> float:
    """The mean log loss of logits."""
    return float(np.mean(np.logaddexp(0, values) - labels * values))
