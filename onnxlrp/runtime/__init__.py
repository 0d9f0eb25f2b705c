"""Runtime: run an explained model from its file alone, without the compiler."""

from __future__ import annotations

from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.ledger_table import Ledger
from onnxlrp.runtime.results import Results

__all__ = ["Explainer", "Explanation", "Ledger", "Results"]
