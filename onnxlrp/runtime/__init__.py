"""Running an explained model: it needs the file alone, nothing of the compiler."""

from __future__ import annotations

from onnxlrp.runtime.explainer import Explainer, Explanation
from onnxlrp.runtime.ledger_table import Ledger
from onnxlrp.runtime.results import Results

__all__ = ["Explainer", "Explanation", "Ledger", "Results"]
