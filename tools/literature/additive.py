"""Additive benchmark (Mamalakis et al. 2022): how near does each rule come to attributions that are known?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import onnxlrp
from onnxlrp.rules import AlphaBeta, Gamma, ZPlus
from tools.literature import figures, pages

GRADIENT_X_INPUT, GAMMA_ABOVE = "gradient × input", "ε, γ = 0.25 above the first layer"


def explain(folder: Path, *, short: bool) -> pages.Found:
    """Correlate every method's relevance with the true shares, row by row."""
    rows = dict(np.load(folder / "rows.npz"))
    path = folder / "additive.onnx"
    found = {name: _relevance(path, rows["x"], options) for name, options in _methods(path).items()}
    every = {**{f"onnxlrp, {name}": one for name, one in found.items()}, **{n: rows[n] for n in rows if ", " in n}}
    agreement = {name: _correlations(one, rows["shares"]) for name, one in every.items()}
    ranked = sorted(agreement, key=lambda name: -float(np.median(agreement[name])))
    beside = agreement[f"onnxlrp, {GRADIENT_X_INPUT}"]
    table = pages.table(
        ["method", "median correlation", "quarter of the rows below", "mean less gradient × input"],
        [[name, *_summary(agreement[name], beside)] for name in ranked],
    )
    numbers = {f"median, {name}": float(np.median(agreement[f"onnxlrp, {name}"])) for name in found}
    gain = _gain(agreement[f"onnxlrp, {GAMMA_ABOVE}"], beside)
    numbers |= {"explained_variance": float(rows["explained_variance"]), "least_gain": gain[0] - gain[1]}
    drawn = (
        {} if short else {"additive.png": _figure(rows, found), "additive_correlations.png": _boxes(agreement, ranked)}
    )
    return pages.Found(numbers, {"agreement": table}, drawn)


def _methods(path: Path) -> dict[str, Mapping[str, Any]]:
    """List what is compared; the rules of a depth name their layers."""
    dense = [node.name for node in onnx.load(path).graph.node if node.op_type == "Gemm"]
    return {
        "LRP-0": {"composite": "lrp0"},
        "ε": {"composite": "epsilon"},
        "ε = 0.1": {"composite": "epsilon(epsilon=0.1)"},
        "γ = 0.1": {"composite": "epsilon", "rules": [("Gemm", Gamma(0.1))]},
        "γ = 1": {"composite": "epsilon", "rules": [("Gemm", Gamma(1))]},
        GAMMA_ABOVE: {"composite": "epsilon", "rules": [(name, Gamma(0.25)) for name in dense[1:]]},
        "α2β1": {"composite": "epsilon", "rules": [("Gemm", AlphaBeta(2, 1))]},
        "z⁺ (α1β0)": {"composite": "epsilon", "rules": [("Gemm", ZPlus())]},
        "DeepLIFT": {"composite": "deep_lift"},
        GRADIENT_X_INPUT: {"composite": "gradient_x_input"},
        "gradient": {"composite": "gradient"},
        "integrated gradients": {"composite": "integrated_gradients(steps=32)"},
    }


def _relevance(path: Path, x: np.ndarray, options: Mapping[str, Any]) -> np.ndarray:
    return onnxlrp.Explainer(onnxlrp.convert(path, **options))({"sst": x}).relevance["sst"]


def _correlations(relevance: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Correlate the maps of each row; a map of zeros agrees with nothing."""
    first, second = (
        a - a.mean(axis=1, keepdims=True) for a in (relevance.astype(np.float64), shares[: len(relevance)])
    )
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.divide((first * second).sum(axis=1), norms, out=np.zeros(len(first)), where=norms > 0)


def _summary(one: np.ndarray, beside: np.ndarray) -> list[Any]:
    mean, half = _gain(one, beside)
    return [float(np.median(one)), float(np.quantile(one, 0.25)), f"{mean:+.3f} ± {half:.3f}"]


def _gain(one: np.ndarray, beside: np.ndarray) -> tuple[float, float]:
    """Compute the mean paired difference, and half of its 95 % interval."""
    differences = one - beside[: len(one)]
    return float(differences.mean()), float(1.96 * differences.std() / len(differences) ** 0.5)


def _figure(rows: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> Any:
    """Draw one map with its true shares and what five methods say of it."""
    names = ("LRP-0", GAMMA_ABOVE, "DeepLIFT", "integrated gradients", "α2β1")
    row = int(np.argsort(_correlations(found["LRP-0"], rows["shares"]))[len(rows["x"]) // 2])
    panels = {"input": rows["x"][row], "true shares": rows["shares"][row], **{n: found[n][row] for n in names}}
    figure, axes = figures.canvas(12, 4.2, 2, 4)
    down, along = rows["places"].T
    for place, (name, values) in zip(axes.flat, panels.items()):
        field = np.full(rows["sea"].shape, np.nan)
        field[down, along] = values
        limit = np.abs(values).max()
        place.pcolormesh(field[::2, ::2], cmap="RdBu_r", vmin=-limit, vmax=limit)
        place.set_facecolor(figures.LAND)
        place.set_aspect("equal")
        place.set_xticks([])
        place.set_yticks([])
        agrees = "" if len(values) != len(down) or name in ("input", "true shares") else (
            f", {np.corrcoef(values, rows['shares'][row])[0, 1]:.2f}")  # fmt: skip
        place.set_title(f"{name}{agrees}", fontsize=9, loc="left")
    for place in axes.flat[len(panels) :]:
        place.remove()
    return figure


def _boxes(agreement: Mapping[str, np.ndarray], ranked: list[str]) -> Any:
    """Draw how the correlations of the rows are spread."""
    figure, axes = figures.canvas(8.5, 4.6)
    place = axes[0, 0]
    place.boxplot([agreement[name] for name in ranked[::-1]], orientation="horizontal", showfliers=False)
    place.set_yticklabels(ranked[::-1], fontsize=8)
    place.set_xlabel("correlation with the true shares, row by row")
    return figure
