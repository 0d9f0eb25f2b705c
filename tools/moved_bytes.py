"""Bytes that leave the runtime when pictures are explained, for each reduction of relevance: `python -m
tools.moved_bytes`.

The bundled EfficientNet-Lite0 runs on the bundled pictures; the bytes of the arrays that come back are counted, and
multiplied to 10,000 pictures. Whole maps and sums are compared on the way.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import onnxlrp
from onnxlrp.reductions import edges_of_cells

MODELS = Path(__file__).parents[1] / "models"
MODEL = MODELS / "efficientnet_lite0" / "efficientnet_lite0.onnx"
PICTURES = MODELS / "pictures"
REDUCTIONS = ("", "float16", "channels", "channels+float16", "grid=14", "grid=14+float16", "top=10")
COUNT = 10_000


@dataclasses.dataclass(frozen=True)
class Moved:
    """Bytes that one picture moves."""

    how: str
    """Reduction; empty for whole maps."""
    relevance: float
    """Bytes of the outputs with relevance, and with its places."""
    others: float
    """Bytes of the model's own outputs."""
    difference: float | None
    """Largest difference from the sums of whole maps, as a part of the largest sum; None where it is not computed."""


def moved(reductions: Sequence[str] = REDUCTIONS) -> list[Moved]:
    """Explain the bundled pictures under each reduction, and count the bytes of all outputs."""
    found, whole = [], None
    for how in reductions:
        explained = onnxlrp.convert(MODEL, "epsilon_plus_flat", **({"reduce": how} if how else {}))
        explainer = onnxlrp.Explainer(explained)
        explanation = explainer.compute(explainer.prepare({"image": sorted(PICTURES.glob("*.png"))}))
        relevance, count = explanation.relevance["image"], len(explanation.relevance["image"])
        whole = relevance if not how else whole
        size = sum(array.nbytes for array in (relevance, *explanation.relevance_indices.values()))
        own = sum(array.nbytes for array in explanation.outputs.values())
        found.append(Moved(how, size / count, own / count, _difference(how, relevance, whole)))
    return found


def _difference(how: str, relevance: np.ndarray, whole: np.ndarray | None) -> float | None:
    """Compare a grid with the sums of whole maps [N, 3, H, W], which numpy adds up in float64."""
    if how != "grid=14" or whole is None:
        return None
    sums = whole.astype(np.float64).sum(axis=1)
    for axis in (1, 2):
        starts = edges_of_cells(sums.shape[axis], 14)[:-1]
        sums = np.add.reduceat(sums, starts, axis=axis)
    return float(np.abs(relevance - sums).max() / np.abs(sums).max())


def table(rows: Sequence[Moved]) -> str:
    """Write the rows as a table in Markdown."""
    first = rows[0]
    lines = [f"| reduction | relevance of {COUNT:,} pictures | of whole maps | with the model's own outputs |",
             "|---|--:|--:|--:|"]  # fmt: skip
    for row in rows:
        name = f"`{row.how}`" if row.how else "none"
        sizes = [f"{COUNT * size / 1e6:,.0f} MB" for size in (row.relevance, row.relevance + row.others)]
        lines.append(f"| {name} | {sizes[0]} | {row.relevance / first.relevance:.2%} | {sizes[1]} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, and how near the sums of cells are to those of numpy."""
    rows = moved()
    print(table(rows))
    print(*(f"\n{row.how}: within {row.difference:.1g} of sums in numpy" for row in rows if row.difference is not None))


if __name__ == "__main__":
    main()
