"""What a training of the platform is held against, outside of the platform: the same features by `features.py`, one
logistic regression by scikit-learn over everybody's rows, and federated clipped descent in numpy without noise and at
epsilon 8, 4 and 1. Judged on a fifth of the households that took no part, chosen by a hash (R097, R098).

    python baseline.py RECORDS [--rows FOLDER] [TASK.json ...]

`RECORDS` is what `prepare.py` wrote; the tasks beside this file are the default. The figures go to standard output as
JSON. With `--rows`, the rows go to `FOLDER/TASK.csv`: household, vault, held_out, label, then the scaled features.
"""

import argparse
import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression

import descent
import features

EPSILONS = (8.0, 4.0, 1.0)
SEEDS = 50
RESAMPLES = 2_000
# The histogram that a Vault's evaluation counts people in: even bins of the logit, each for both labels.
BINS, SCORE_MAX = 128, 8.0


def held_out(household: int, share: float) -> bool:
    """Whether a household is only judged on."""
    digest = hashlib.sha256(f"held-out/household-{household}@example.com".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def report(task: dict, rows: features.Rows, held: np.ndarray) -> dict:
    """All figures of one task."""
    settings = descent.Settings.of(task)
    train, test = (rows.features[~held], rows.labels[~held]), (rows.features[held], rows.labels[held])
    central = centralised(train, test)
    weights = descent.descend(*train, settings, noise=0.0, seed=0)
    values = descent.scores(test[0], weights)
    # The same steps where nobody's gradient is cut: what federated averaging without privacy comes to.
    free = descent.scores(test[0], descent.descend(*train, replace(settings, clip=1e9), noise=0.0, seed=0))
    delta = task["privacy"]["delta"]
    return {
        "people": {"trained": int((~held).sum()), "held_out": int(held.sum()), "features": rows.features.shape[1]},
        "with_label": {"trained": int(train[1].sum()), "held_out": int(test[1].sum())},
        "settings": vars(settings),
        "centralised": central,
        "federated": judged(test[1], values),
        "federated_unclipped": judged(test[1], free),
        "auc_deviation_of_resampled_held_out": resampled(test[1], values),
        "gradients_cut_at_the_end": cut(*train, weights, settings.clip),
        "private": [private(epsilon, delta, train, test, settings) for epsilon in EPSILONS],
        "spec": {
            "noise": task["privacy"]["noise"],
            "epsilon": descent.epsilon_of(task["privacy"]["noise"], delta, settings.rounds),
            "evaluation_epsilon": descent.epsilon_of(
                task["privacy"]["evaluation_noise"], delta, evaluations(task)),
            "evaluations": evaluations(task),
        },
        "evaluation_released": [released(epsilon, delta, task, test[1], values) for epsilon in EPSILONS],
    }


def centralised(train: tuple, test: tuple) -> dict:
    """The regression that sees everybody, hardly regularised (`C = 1`, the default)."""
    model = LogisticRegression(max_iter=5_000, tol=1e-8).fit(*train)
    return judged(test[1], model.decision_function(test[0]))


def judged(labels: np.ndarray, values: np.ndarray) -> dict:
    """AUC and mean log loss of logits."""
    return {"auc": descent.auc(labels, values), "log_loss": descent.log_loss(labels, values)}


def cut(rows: np.ndarray, labels: np.ndarray, weights: np.ndarray, clip: float) -> float:
    """The share of gradients that are longer than the clipping norm at these weights."""
    norms = np.sqrt(1 + (rows.astype(float) ** 2).sum(axis=1))
    residuals = descent.expit(descent.scores(rows, weights)) - labels
    return float(np.mean(np.abs(residuals) * norms > clip))


def private(epsilon: float, delta: float, train: tuple, test: tuple, settings: descent.Settings) -> dict:
    """Trainings with noise, each with a seed of its own."""
    noise = descent.noise_for(epsilon, delta, settings.rounds)
    runs = []
    for seed in range(SEEDS):
        values = descent.scores(test[0], descent.descend(*train, settings, noise, seed))
        runs.append(judged(test[1], values))
    aucs = np.array([run["auc"] for run in runs])
    return {
        "epsilon": epsilon, "noise": noise, "seeds": SEEDS,
        "auc": float(aucs.mean()), "auc_deviation": float(aucs.std(ddof=1)), "auc_least": float(aucs.min()),
        "log_loss": float(np.mean([run["log_loss"] for run in runs])),
    }


def resampled(labels: np.ndarray, values: np.ndarray) -> float:
    """How much the AUC moves when other households had been held out: the deviation over resamples."""
    stream = np.random.default_rng(0)
    picks = (stream.integers(0, len(labels), len(labels)) for _ in range(RESAMPLES))
    return float(np.std([descent.auc(labels[pick], values[pick]) for pick in picks], ddof=1))


def evaluations(task: dict) -> int:
    """How often held-out people are counted: before steps 1, 1 + every, ..., and once at the end."""
    return -(-task["rounds"] // task["evaluate_every"]) + 1


def released(epsilon: float, delta: float, task: dict, labels: np.ndarray, values: np.ndarray) -> dict:
    """The AUC that noised counts of the held-out people show, where it is `true` in fact."""
    noise = descent.noise_for(epsilon, delta, evaluations(task))
    found = {"epsilon": epsilon, "evaluations": evaluations(task), "noise": noise, "true": descent.auc(labels, values)}
    for bins in (BINS, 32, 16, 8):
        counts = np.stack([histogram(values[labels == side], bins) for side in (False, True)])
        stream = np.random.default_rng(0)
        noised = counts + noise * stream.standard_normal((1_000, *counts.shape))
        for name, table in (("", noised.clip(min=0)), ("_signed", noised)):
            aucs = area(table)
            found[f"bins_{bins}{name}"] = {"mean": float(aucs.mean()), "deviation": float(aucs.std())}
    return found


def histogram(values: np.ndarray, bins: int) -> np.ndarray:
    """People by logit; what is beyond the ends goes into the last bins."""
    edges = np.linspace(-SCORE_MAX, SCORE_MAX, bins + 1)
    return np.histogram(np.clip(values, -SCORE_MAX, SCORE_MAX), edges)[0].astype(float)


def area(tables: np.ndarray) -> np.ndarray:
    """AUC out of counts. **Shape**: runs x (without, with the label) x bins."""
    without, having = tables[:, 0], tables[:, 1]
    below = np.cumsum(without, axis=1) - without / 2
    whole = without.sum(axis=1) * having.sum(axis=1)
    return np.clip((having * below).sum(axis=1) / np.where(whole > 0, whole, 1.0), 0, 1)


def write_rows(path: Path, rows: features.Rows, held: np.ndarray) -> None:
    """The rows as CSV; nine digits give back the same single-precision number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [f"f{at}" for at in range(rows.features.shape[1])]
    with path.open("w", encoding="utf-8") as file:
        file.write(",".join(["household", "vault", "held_out", "label", *names]) + "\n")
        for at, row in enumerate(rows.features):
            head = (rows.households[at], rows.vaults[at], int(held[at]), int(rows.labels[at]))
            file.write(",".join([*map(str, head), *(f"{value:.9g}" for value in row)]) + "\n")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("records", type=Path, help="what prepare.py wrote")
    arguments.add_argument("tasks", type=Path, nargs="*", help="tasks as JSON")
    arguments.add_argument("--rows", type=Path, help="where the rows go")
    given = arguments.parse_args()
    here = Path(__file__).resolve().parent
    paths = given.tasks or [here / "propensity.json", here / "coupon.json"]
    versions = {"python": sys.version.split()[0], "numpy": np.__version__, "scikit-learn": sklearn.__version__}
    figures = {"versions": versions, "tasks": {}}
    for path in paths:
        task = features.load(path)
        rows = features.build(task, features.read(given.records, task["time"]))
        held = np.array([held_out(household, task["held_out"]) for household in rows.households])
        if given.rows:
            write_rows(given.rows / f"{path.stem}.csv", rows, held)
        figures["tasks"][path.stem] = report(task, rows, held)
    json.dump(figures, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
