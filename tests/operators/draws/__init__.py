"""What the operator tests draw: for each operator its cases, one file a family as in the package."""

from __future__ import annotations

import importlib
import pkgutil

from onnxlrp.operators.registry import Kind, table
from tests.operators.draws.common import DRAWS

__all__ = ["DRAWS", "ELSEWHERE", "registered"]

ELSEWHERE = {
    **dict.fromkeys(("If", "Loop", "Scan"), "test_control_flow.py"),
    **dict.fromkeys(("SequenceAt", "ConcatFromSequence", "SequenceConstruct", "SequenceInsert"), "test_sequences.py"),
    **dict.fromkeys(("SequenceErase", "SplitToSequence", "SequenceMap"), "test_sequences.py"),
    **dict.fromkeys(("Optional", "OptionalGetElement"), "test_sequences.py"),
    **dict.fromkeys(("QLinearConv", "QLinearMatMul"), "test_quantised.py"),
    **dict.fromkeys(("TfIdfVectorizer", "StringNormalizer"), "test_words.py"),
}
"""Operators that one node with tensors around it does not show, and where they are tested."""

for _family in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_family.name}")


def registered(*kinds: Kind) -> list[str]:
    """The default-domain operators of some kinds that are drawn."""
    rows = (row for row in table() if row.domain == "ai.onnx" and row.operator not in ELSEWHERE)
    return [row.operator for row in rows if Kind(row.kind) in kinds]
