"""Second picture of the README: the rows that an LSTM reads a digit by. `python tools/readme/digits_rows.py`"""

from __future__ import annotations

from pathlib import Path

import numpy as np

import onnxlrp
from onnxlrp.view.pictures import Cell, contact_sheet, enlarged, heatmap, picture_of

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models" / "digits_lstm"
SIDE, SHOWN = 96, 6


def main() -> None:
    with np.load(MODEL / "samples.npz") as samples:
        rows, labels = samples["rows"][:SHOWN], samples["labels"][:SHOWN]
    explanation = onnxlrp.Explainer(onnxlrp.convert(MODEL / "digits_lstm.onnx"))({"rows": rows})
    predicted = explanation.target.ravel()
    digits = [Cell(enlarged(picture_of(x), SIDE), f"a {label}") for x, label in zip(rows, labels, strict=True)]
    maps = [
        Cell(enlarged(heatmap(r), SIDE), f"read as {p}")
        for r, p in zip(explanation.relevance["rows"], predicted, strict=True)
    ]
    contact_sheet([digits, maps]).save(Path(__file__).with_name("digits_rows.png"), optimize=True)


if __name__ == "__main__":
    main()
