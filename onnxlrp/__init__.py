"""Relevance for deployed models: an ONNX file in, the same model with its explanation as outputs out."""

from __future__ import annotations

from onnxlrp import composites, errors, rules
from onnxlrp._version import __version__
from onnxlrp.convert import Explained, convert, inspect
from onnxlrp.operators.own import operator, stopping_operator, unregister_operator
from onnxlrp.runtime.contrast import contrastive
from onnxlrp.runtime.explainer import Explainer, Explanation
from onnxlrp.runtime.results import Results

__all__ = [
    "Explained",
    "Explainer",
    "Explanation",
    "Results",
    "__version__",
    "composites",
    "contrastive",
    "convert",
    "errors",
    "inspect",
    "operator",
    "rules",
    "stopping_operator",
    "unregister_operator",
]
