"""Figure of docs/trees.md: `python -m tools.trees figure` draws one customer of the churn-like table.

Left: from the base value to the score, column by column. Right: the same row with other covers, beside the true ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

import onnxlrp
from tools.trees.agreement import BACKGROUND, halves
from tools.trees.datasets import Array, churn
from tools.trees.trainers import light

matplotlib.use("Agg")
import matplotlib.pyplot as plt

FILE = Path(__file__).parents[2] / "docs" / "trees.png"
NAMES = ["months", "charge", "total", "monthly", "yearly", "two years"]
NAMES += ["phone", "fibre", "support", "security", "backup", "streaming", "senior", "complaint"]
SHOWN = 7
UP, DOWN, GREY = "#c0392b", "#2471a3", "#7f8c8d"
WAYS = {
    "trainer's covers": "#1b2631",
    "500 rows": "#5d6d7e",
    "threshold grid": "#85c1e9",
    "halves, first edition": "#f5b041",
}


def explanations(row: Array) -> dict[str, Any]:
    """Explain a row, [1, columns], in all ways; by their names in `WAYS`."""
    task = churn()
    trained = light(task)
    model = trained.proto
    by_halves = onnxlrp.with_covers(model, halves(model))
    converted = [
        onnxlrp.convert(onnxlrp.with_covers(model, onnxlrp.covers_of(trained.model))),
        onnxlrp.convert(model, background=task.train[:BACKGROUND]),
        onnxlrp.convert(model),
        onnxlrp.convert(by_halves, onnxlrp.composites.Auto(trees="path")),
    ]
    return {name: onnxlrp.Explainer(c)({"X": row}, target=1) for name, c in zip(WAYS, converted, strict=True)}


def main(given: list[str] | None = None) -> int:
    """Draw the figure into docs/."""
    parser = argparse.ArgumentParser("python -m tools.trees figure", description=__doc__)
    parser.add_argument("--row", type=int, default=7, help="the customer")
    row = churn().rows[[parser.parse_args(given).row]]
    found = explanations(row)
    first = next(iter(found.values()))
    values = first.relevance["X"][0]
    order = np.argsort(-abs(values))[:SHOWN]
    labels = [f"{NAMES[i]} = {row[0, i]:g}" for i in order]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained", sharey=True)
    waterfall(left, labels, values, order, float(np.ravel(first.base_value)[0]))
    covers(right, order, found)
    figure.savefig(FILE, dpi=100)
    return 0


def waterfall(axes: Any, labels: list[str], values: Array, order: Array, base: float) -> None:
    """Draw bars from the base value to the score."""
    rest = values.sum() - values[order].sum()
    steps = np.array([*values[order], rest])
    starts = base + np.cumsum(steps) - steps
    places = np.arange(steps.size)
    axes.barh(places, steps, left=starts, color=[UP if s > 0 else DOWN for s in steps], height=0.6)
    for place, start, step in zip(places, starts, steps, strict=True):
        axes.text(max(start, start + step) + 0.03, place, f"{step:+.2f}", va="center", fontsize=8)
    axes.axvline(base, color=GREY, lw=0.8, ls=":")
    axes.axvline(base + steps.sum(), color=GREY, lw=0.8)
    axes.set_yticks(places, [*labels, "other columns"], fontsize=9)
    axes.invert_yaxis()
    axes.use_sticky_edges = False
    axes.margins(x=0.12)
    axes.set_title(f"base value {base:.2f} (dotted) → score {base + steps.sum():.2f}", fontsize=10)
    axes.set_xlabel("log-odds of leaving", fontsize=9)


def covers(axes: Any, order: Array, found: dict[str, Any]) -> None:
    """Draw the same columns with each kind of covers."""
    height = 0.8 / len(found)
    for index, (name, explanation) in enumerate(found.items()):
        places = np.arange(order.size) + (index - (len(found) - 1) / 2) * height
        axes.barh(places, explanation.relevance["X"][0][order], height, color=WAYS[name], label=name)
    axes.axvline(0, color=GREY, lw=0.8)
    axes.legend(fontsize=8, frameon=False)
    axes.set_title("the same row with other covers", fontsize=10)
    axes.set_xlabel("relevance", fontsize=9)


if __name__ == "__main__":
    raise SystemExit(main())
