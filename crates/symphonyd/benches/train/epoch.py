"""One epoch of scikit-learn's stochastic gradient descent over 100,000 people with 50 features, as the platform's kernel has
them: the median of several, in seconds, as JSON on standard output (R097).

    python epoch.py
"""

import json
import statistics
import time

import numpy as np
from sklearn.linear_model import SGDClassifier

PEOPLE, FEATURES, TIMES = 100_000, 50, 9


def main() -> None:
    random = np.random.default_rng(1)
    rows = random.uniform(-2, 2, (PEOPLE, FEATURES))
    labels = rows[:, 0] + rows[:, 1] - rows[:, 2] + random.integers(0, 4, PEOPLE) > 1.5
    seconds = []
    for _ in range(TIMES):
        model = SGDClassifier(loss="log_loss", max_iter=1, tol=None, random_state=1)
        begin = time.perf_counter()
        model.fit(rows, labels)
        seconds.append(time.perf_counter() - begin)
    print(json.dumps({"seconds": statistics.median(seconds)}))


if __name__ == "__main__":
    main()
