"""A hundred thousand rows for the engines, one of which cannot be explained, and what one process makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx.parser

import onnxlrp
from tests.cli.test_table_rows import CHURN

COUNT = 100_000
FAULTY = 77_777
"""Number of the row whose count of visits is no whole number."""


def rows() -> dict[str, np.ndarray]:
    """Columns of the rows; `customer` identifies them."""
    random = np.random.default_rng(0)
    visits = random.integers(0, 9, COUNT).astype(np.float64)
    visits[FAULTY] = 0.5
    numbers = {"age": random.normal(size=COUNT), "income": random.normal(size=COUNT), "visits": visits}
    return {**numbers, "customer": np.arange(COUNT)}


def write_model(folder: Any) -> str:
    """Write the explained model, and return its path."""
    onnxlrp.convert(onnx.parser.parse_model(CHURN)).save(folder / "churn.lrp.onnx")
    return str(folder / "churn.lrp.onnx")


def check_every_row_once(table: Any, model: str) -> None:
    """Compare a table of Arrow with what `Explainer.map` gives in one process, and look at the faulty row."""
    given, order = rows(), np.argsort(table["customer"].to_numpy())
    assert table["customer"].to_numpy()[order].tolist() == list(range(COUNT))
    error = np.array(table["error"].to_pylist(), dtype=object)[order]
    assert [row for row in range(COUNT) if error[row] is not None] == [FAULTY]
    assert "'visits' holds fractions" in error[FAULTY]
    good = np.arange(COUNT) != FAULTY
    explainer = onnxlrp.Explainer(model, providers=["CPUExecutionProvider"], threads=1)
    parts = [*explainer.map({name: column[good] for name, column in given.items()}, 5000, ids="customer")]
    for name in ("age", "income", "visits"):
        wanted = np.concatenate([part.relevance[name] for part in parts])[:, 0]
        found = table[f"{name}_relevance"]
        assert found.null_count == 1
        np.testing.assert_allclose(np.array(found.to_pylist(), dtype=np.float64)[order][good], wanted, rtol=1e-6)
    targets = np.array(table["target"].to_pylist(), dtype=object)[order]
    assert targets[good].tolist() == np.concatenate([part.target for part in parts]).tolist()
    assert targets[FAULTY] is None
