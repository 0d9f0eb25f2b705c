"""Plot of the rows: the number of forward passes that an explanation costs, for onnxlrp and its peers."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.benchmark.table import PEERS
from tools.benchmark.timing import ratio

Row = Mapping[str, Any]
STYLES = {
    "explained": ("onnxlrp", "o", "#b2182b"),
    "Zennit": ("Zennit", "s", "#4393c3"),
    "Captum": ("Captum", "^", "#5aae61"),
    "LXT": ("LXT", "D", "#9970ab"),
}
TICKS = (1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50)


def available() -> bool:
    """Decide whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw a panel per batch, a line per model and composite, a mark per program."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    batches = sorted({row["batch"] for row in rows})
    lines = list(dict.fromkeys(_line(row) for row in rows))
    size = (5 * len(batches) + 2.5, 0.26 * len(lines) + 1.6)
    figure, axes = pyplot.subplots(1, len(batches), sharey=True, squeeze=False, figsize=size, layout="constrained")
    for axis, batch in zip(axes[0], batches, strict=True):
        _panel(axis, [row for row in rows if row["batch"] == batch], lines)
        axis.set_title(f"batch {batch}")
    axes[0][0].set_yticks(range(len(lines)), [f"{model}  {composite}" for model, composite in lines], fontsize=8)
    axes[0][0].invert_yaxis()
    handles, labels = [], []
    for axis in axes[0]:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            if label not in labels:
                handles.append(handle)
                labels.append(label)
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _panel(axis: Any, rows: Sequence[Row], lines: Sequence[tuple[str, str]]) -> None:
    points: dict[str, list[tuple[float, int]]] = {}
    for row in rows:
        height, seconds = lines.index(_line(row)), row["seconds"]
        for key in ("explained", *PEERS):
            if key in seconds:
                points.setdefault(key, []).append((ratio(seconds[key], seconds["source"]), height))
    for key, found in points.items():
        label, marker, colour = STYLES[key]
        axis.scatter(*zip(*found, strict=True), marker=marker, color=colour, s=26, label=label, zorder=3)
    most = max((x for found in points.values() for x, _ in found), default=2)
    shown = [tick for tick in TICKS if tick <= most * 1.3]
    axis.set_xscale("log")
    axis.set_xticks(shown, [str(tick) for tick in shown])
    axis.minorticks_off()
    axis.set_xlim(0.95, most * 1.2)
    axis.set_ylim(-0.7, len(lines) - 0.3)
    axis.grid(alpha=0.3)
    axis.set_xlabel("× the source's forward pass in onnxruntime", fontsize=9)


def _line(row: Row) -> tuple[str, str]:
    return row["model"], row["composite"].partition("(")[0]
