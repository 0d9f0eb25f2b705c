"""Customers who leave (Ullah et al. 2022): rankings of columns by LRP, SHAP and LIME, their worth and their cost."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import onnxlrp
from onnxlrp.composites import Composite, DeepLift
from tools.literature import apart, figures, pages

NETWORKS = ("mlp", "cnn")
RANKED = 1000
"""Training rows that relevance ranks columns by."""
AGAINST_THE_MEAN = "DeepLIFT from the mean row (onnxlrp)"
MEASURES = ("accuracy", "F1 of those who left", "area under ROC")
KEPT = (3, 5, 8, 12)


def explain(folder: Path, *, short: bool) -> pages.Found:
    """Rank columns by relevance, train again on the best of every ranking, and compare row by row."""
    data = dict(np.load(folder / "customers.npz"))
    count = sum(name.startswith("rows_") for name in data)
    strength, sign = _strengths(folder, data, count)
    numbers: dict[str, float] = {}
    tables = {"scores": _scores(data, numbers), "columns": _columns(data, strength, sign, numbers)}
    if short:
        return pages.Found(numbers, {"scores": tables["scores"], "columns": tables["columns"]}, {})
    tables["subsets"] = _subsets(folder, strength, count, numbers)
    tables["rows"] = _same_rows(folder, data, numbers)
    return pages.Found(numbers, tables, {"churn.png": _figure(data, strength, sign)})


def _strengths(folder: Path, data: Mapping[str, np.ndarray], count: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Compute mean |attribution| of columns by method [folds, 28], and the mean relevance of columns that are not 0."""
    found: dict[str, list[np.ndarray]] = {}
    sums = []
    for number in range(count):
        rows = data["x"][data[f"rows_{number}"][:RANKED]]
        for network in NETWORKS:
            relevance = _relevance(folder / f"{network}_{number}.onnx", rows)
            found.setdefault(f"LRP, {network}", []).append(np.abs(relevance).mean(axis=0))
            if network == "mlp":
                sums.append(relevance.sum(axis=0) / np.maximum((rows > 0).sum(axis=0), 1))
        for peer in ("SHAP", "LIME", "mutual information"):
            if f"{peer}_{number}" in data:
                found.setdefault(peer, []).append(data[f"{peer}_{number}"])
    return {name: np.stack(one) for name, one in found.items()}, np.mean(sums, axis=0)


def _relevance(path: Path, rows: np.ndarray, composite: str | Composite = "auto") -> np.ndarray:
    return onnxlrp.Explainer(onnxlrp.convert(path, composite))({"columns": rows}).relevance["columns"]


def _scores(data: Mapping[str, np.ndarray], numbers: dict[str, float]) -> str:
    """Average the scores of the models over the folds."""
    names, scores = data["scores"][:, 0], data["scores"][:, 2:].astype(float)
    rows = []
    for name in dict.fromkeys(names.tolist()):
        one = scores[names == name]
        rows.append([name, *(f"{mean:.3f} ± {spread:.3f}" for mean, spread in zip(one.mean(axis=0), one.std(axis=0)))])
        numbers[f"{name}, area"] = float(one[:, 2].mean())
    return pages.table(["model", *MEASURES], rows)


def _columns(
    data: Mapping[str, np.ndarray], strength: Mapping[str, np.ndarray], sign: np.ndarray, numbers: dict[str, float]
) -> str:
    """List the columns that matter most, with the side they are on and what is known of them without a model."""
    ranks = {name: np.argsort(np.argsort(-one.mean(axis=0))) + 1 for name, one in strength.items()}
    x, y = data["x"], data["y"]
    known = np.array([np.corrcoef(column, y)[0, 1] for column in x.T])
    order = np.argsort(ranks["LRP, mlp"])
    numbers["signs"] = float((np.sign(sign[order[:10]]) == np.sign(known[order[:10]])).mean())
    rows = [
        [
            str(data["names"][one]),
            f"{sign[one]:+.2f}",
            f"{known[one]:+.2f}",
            *(int(rank[one]) for rank in ranks.values()),
        ]
        for one in order[:10]
    ]
    return pages.table(["column", "relevance where present", "correlation with leaving", *ranks], rows)


def _subsets(folder: Path, strength: Mapping[str, np.ndarray], count: int, numbers: dict[str, float]) -> str:
    """Train on the best columns of every ranking, in a process that has torch."""
    random = np.random.default_rng(0)
    every = {**strength, "random": random.random((count, strength["LRP, mlp"].shape[1]))}
    orders = {f"{name}/{fold}": np.argsort(-one[fold]) for name, one in every.items() for fold in range(count)}
    np.savez(folder / "rankings.npz", **orders)
    apart.trained("churn_subsets", folder, short=False)
    areas = dict(np.load(folder / "areas.npz"))
    rows = []
    for name in every:
        one = np.stack([areas[f"{name}/{fold}"] for fold in range(count)])
        rows.append([name, *(f"{mean:.3f} ± {spread:.3f}" for mean, spread in zip(one.mean(axis=0), one.std(axis=0)))])
        numbers[f"subsets, {name}"] = float(one.mean())
    return pages.table(["ranking", *(f"best {kept}" for kept in KEPT)], rows)


def _same_rows(folder: Path, data: Mapping[str, np.ndarray], numbers: dict[str, float]) -> str:
    """Remove columns in the order of each method on the same rows, beside the processor time that it took."""
    path = folder / "mlp_0.onnx"
    peers = {name.removeprefix("timed "): one for name, one in data.items() if name.startswith("timed ")}
    rows = data["x"][data["test_0"]][: len(next(iter(peers.values())))]
    seconds = {name: float(data[f"seconds {name}"]) for name in peers}
    mean = data["x"][data["rows_0"]].mean(axis=0)
    for name, composite in (("auto", "auto"), (AGAINST_THE_MEAN, DeepLift(baseline=mean))):
        start = time.process_time()
        peers[name] = _relevance(path, rows, composite)
        seconds[name] = time.process_time() - start
    del peers["auto"]  # evaluate explains by it too
    measured = onnxlrp.evaluate(
        path,
        {"columns": rows},
        ["auto"],
        explanations=peers,
        measures=["perturbation"],
        providers=["CPUExecutionProvider"],
    )
    lines = []
    for name in sorted(measured.explanations, key=lambda name: -measured.figure(name).mean):
        figure = measured.figure(name)
        numbers[f"area, {name}"] = figure.mean
        area = f"{figure.mean:.2f} [{figure.low:.2f}, {figure.high:.2f}]"
        cost = f"{seconds[name]:.2f}" if name in seconds else ""
        lines.append([{"auto": "LRP (auto)"}.get(name, name), area, cost])
    return pages.table(["method", "area of deletion", f"processor seconds, {len(rows)} rows"], lines)


def _figure(data: Mapping[str, np.ndarray], strength: Mapping[str, np.ndarray], sign: np.ndarray) -> Any:
    """Draw the columns by mean |relevance|, and the relevance of those present."""
    mean = strength["LRP, mlp"].mean(axis=0)
    order = np.argsort(-mean)[:14]
    figure, axes = figures.canvas(10, 4.2, 1, 2)
    figures.bars({str(data["names"][one]): float(mean[one]) for one in order}, "mean |relevance|", axes[0, 0])
    figures.bars({str(data["names"][one]): float(sign[one]) for one in order},
                 "mean relevance for leaving, where the column is not 0", axes[0, 1])  # fmt: skip
    axes[0, 1].set_yticklabels([])
    return figure
