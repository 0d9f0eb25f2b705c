"""El Niño by sea-surface temperature (Toms, Barnes and Ebert-Uphoff 2020): is relevance where the phenomenon is?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import onnxlrp
from onnxlrp.rules import ZPlus
from tools.literature import figures, pages

CLASSES = ("El Niño", "La Niña")
LABELS = ("temperature", "pressure")
METHODS: Mapping[str, Mapping[str, Any]] = {
    "z⁺ (the paper's α1β0)": {"composite": "epsilon", "rules": [("Gemm", ZPlus())]},
    "ε": {"composite": "epsilon"},
    "gradient × input": {"composite": "gradient_x_input"},
}
PAPERS = next(iter(METHODS))


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOut:
    """Winters explained by the networks that have not seen them."""

    relevance: np.ndarray
    """[winters, latitude, longitude], for the predicted class."""
    predicted: np.ndarray
    known: np.ndarray

    def mean_map(self, label: int) -> np.ndarray:
        """Average the maps of a class's winters that were predicted right."""
        return self.relevance[(self.known == label) & (self.predicted == label)].mean(axis=0)


def explain(folder: Path, *, short: bool) -> pages.Found:
    """Explain held-out winters of both labels, and locate the relevance."""
    winters = dict(np.load(folder / "winters.npz"))
    methods = {PAPERS: METHODS[PAPERS]} if short else METHODS
    held = {
        (label, name): _held_out(folder, winters, label, options)
        for label in LABELS
        for name, options in methods.items()
    }
    numbers, rows = {}, []
    for (label, name), one in held.items():
        found = _located(one, winters)
        rows.append([label, name, *found.values()])
        if name == PAPERS:
            numbers |= {f"{label}_{key}": value for key, value in found.items()}
            numbers[f"{label}_accuracy"] = float((one.predicted == one.known).mean())
    numbers["share_of_sea"] = float(winters["nino34"].sum() / winters["sea"].sum())
    header = ["label", "rule", *(f"{part}, {name}" for name in CLASSES for part in ("share in the box", "rank"))]
    drawn = {} if short else {"el_nino.png": _maps(held, winters)}
    tables = {"location": pages.table(header, rows), "accuracy": _accuracies(held, winters)}
    return pages.Found(numbers, tables, drawn)


def _held_out(folder: Path, winters: Mapping[str, np.ndarray], label: str, options: Mapping[str, Any]) -> HeldOut:
    """Explain every winter by the network of the fold that leaves it out."""
    x, known, fold = (winters[f"{label}_{part}"] for part in ("sst", "class", "fold"))
    rows, relevance, predicted = [], [], []
    for number in np.unique(fold):
        path = folder / f"{label}_{number}.onnx"
        if not path.exists():
            continue
        one = np.flatnonzero(fold == number)
        explanation = onnxlrp.Explainer(onnxlrp.convert(path, **options))({"sst": x[one]})
        rows.append(one)
        relevance.append(explanation.relevance["sst"][:, 0])
        predicted.append(explanation.outputs["logits"].argmax(axis=1))
    return HeldOut(np.concatenate(relevance), np.concatenate(predicted), known[np.concatenate(rows)])


def _located(held: HeldOut, winters: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Measure for each class the share of positive relevance in the Niño-3.4 box, and the box's rank among its like."""
    found: dict[str, float] = {}
    for label, name in enumerate(CLASSES):
        positive = np.maximum(held.mean_map(label), 0)
        found[f"share, {name}"] = float(positive[winters["nino34"]].sum() / positive.sum())
        found[f"rank, {name}"] = _rank(positive, winters["nino34"], winters["sea"])
    return found


def _rank(positive: np.ndarray, box: np.ndarray, sea: np.ndarray) -> int:
    """Count how many boxes of the same size, at least half of them sea, hold as much relevance; 1 is the most."""
    down, along = np.ptp(np.argwhere(box), axis=0) + 1
    windows = np.lib.stride_tricks.sliding_window_view(positive, (down, along)).sum(axis=(2, 3))
    wet = np.lib.stride_tricks.sliding_window_view(sea, (down, along)).mean(axis=(2, 3)) >= 0.5
    return int((windows[wet] >= positive[box].sum() * (1 - 1e-6)).sum())


def _accuracies(held: Mapping[tuple[str, str], HeldOut], winters: Mapping[str, np.ndarray]) -> str:
    rows = []
    for label in LABELS:
        one, years = held[label, PAPERS], winters[f"{label}_year"]
        counts = [int((one.known == number).sum()) for number in range(len(CLASSES))]
        right = int((one.known == one.predicted).sum())
        rows.append([label, f"{years.min()} to {years.max()}", *counts, f"{right} of {len(one.known)}"])
    return pages.table(["label", "winters", *CLASSES, "right when held out"], rows)


def _maps(held: Mapping[tuple[str, str], HeldOut], winters: Mapping[str, np.ndarray]) -> Any:
    """Draw the mean temperature and the mean relevance of both classes, for both labels."""
    maps = []
    for label in LABELS:
        x, known = winters[f"{label}_sst"][:, 0], winters[f"{label}_class"]
        for number, name in enumerate(CLASSES):
            relevance = held[label, PAPERS].mean_map(number)
            maps.append((f"{name}, label: {label}", x[known == number].mean(axis=0), relevance))
    return figures.maps(maps, winters["latitude"], winters["longitude"], winters["sea"], winters["nino34"])
