"""Networks that tell El Niño from La Niña by a map of sea-surface temperature, as Toms et al. 2020 train them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import nn

from tools.literature import training
from tools.literature.package_files import r_table
from tools.literature.sea_surface import FIRST_WINTER, SeaSurface, sea_surface

FOLDS, STEPS = 5, 300
INDEX_LIMIT, PRESSURE_LIMIT = 0.5, 5.0
"""Anomaly of the Niño-3.4 box in kelvin, and Southern Oscillation index, above which a winter is an event."""


def train(folder: Path, *, short: bool) -> None:
    """Train on either label, and on five folds of it; write models, and winters with the fold that holds each out."""
    training.start()
    sea = sea_surface()
    arrays = {"sea": sea.sea, "latitude": sea.latitude, "longitude": sea.longitude, "nino34": sea.nino34}
    for label, index in (("temperature", _temperature(sea)), ("pressure", _pressure(len(sea.anomalies)))):
        rows = np.flatnonzero(np.abs(index) > 1)
        x, y = sea.anomalies[rows, None], (index[rows] < 0).astype(np.int64)
        fold = _folds(y)
        for number in range(1 if short else FOLDS):
            one = fold != number
            _train_one(folder / f"{label}_{number}.onnx", x[one], y[one])
        arrays |= {f"{label}_sst": x, f"{label}_class": y, f"{label}_fold": fold, f"{label}_year": FIRST_WINTER + rows}
        _train_one(folder / f"{label}.onnx", x, y)
    np.savez(folder / "winters.npz", **arrays)


def _train_one(path: Path, x: np.ndarray, y: np.ndarray) -> None:
    """Train two hidden layers of eight; a penalty on the weights keeps them smooth, as in the paper."""
    layers = [nn.Flatten(), nn.Linear(x[0].size, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)]
    network = nn.Sequential(*layers)
    training.fit(network, training.shuffled(x, y, 64), STEPS, decay=0.3)
    training.export(network, path, {"sst": x})


def _temperature(sea: SeaSurface) -> np.ndarray:
    """Compute the mean anomaly of the Niño-3.4 box, in units of the limit: the paper's label."""
    return sea.anomalies[:, sea.nino34].mean(axis=1) / INDEX_LIMIT


def _pressure(winters: int) -> np.ndarray:
    """Read the Southern Oscillation index, November to March, in units of the limit; El Niño has low values.

    Winters past its end, 2005, get 0.
    """
    months = r_table("DAAG", "bomsoi").set_index("Year")
    index = np.zeros(winters)
    for number, year in enumerate(range(FIRST_WINTER, FIRST_WINTER + winters)):
        if year in months.index:
            autumn, spring = months.loc[year - 1, ["Nov", "Dec"]], months.loc[year, ["Jan", "Feb", "Mar"]]
            index[number] = -np.mean([*autumn, *spring]) / PRESSURE_LIMIT
    return index


def _folds(y: np.ndarray) -> np.ndarray:
    """Give each winter a fold, the winters of a class in turn."""
    fold = np.zeros(len(y), np.int64)
    for label in np.unique(y):
        fold[y == label] = np.arange((y == label).sum()) % FOLDS
    return fold
