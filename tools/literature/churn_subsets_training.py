"""Networks on the best few columns of each ranking: which ranking keeps most of the quality?"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tools.literature import training
from tools.literature.churn_data import balanced, scores_of
from tools.literature.churn_training import fitted, mlp

KEPT = (3, 5, 8, 12)


def train(folder: Path, *, short: bool) -> None:
    """Train on the best columns of each ranking in `rankings.npz`, fold by fold; write areas under the ROC curve.

    Arrays `NAME/FOLD` of the rankings list columns, the best first.
    """
    training.start()
    data, rankings = dict(np.load(folder / "customers.npz")), dict(np.load(folder / "rankings.npz"))
    found = {}
    for key, order in rankings.items():
        number = key.rsplit("/", 1)[1]
        rows, test = data[f"rows_{number}"], data[f"test_{number}"]
        x, y = data["x"], data["y"]
        more, labels = balanced(x[rows], y[rows])
        areas = []
        for count in KEPT:
            columns = np.sort(order[:count])
            network = fitted(mlp(count), more[:, columns], labels, 300)
            areas.append(scores_of(training.outputs_of(network, x[test][:, columns])[:, 0], y[test])[2])
        found[key] = np.array(areas)
    np.savez(folder / "areas.npz", **found)
