"""What the operator tests draw: for each operator its cases, one file a family as in the package."""

from __future__ import annotations

from onnxlrp.operators.registry import Kind, table
from tests.operators.draws import arithmetic, elementwise, layers, normalisations, reductions, routing, windows
from tests.operators.draws.common import DRAWS

__all__ = [
    "DRAWS",
    "arithmetic",
    "elementwise",
    "layers",
    "normalisations",
    "reductions",
    "registered",
    "routing",
    "windows",
]


def registered(*kinds: Kind) -> list[str]:
    """The default-domain operators of some kinds that the package has entries for."""
    return [row.operator for row in table() if row.domain == "ai.onnx" and Kind(row.kind) in kinds]
