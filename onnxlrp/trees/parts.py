"""Values in the graph that are split into parts, and joined again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


def split(op: Builder, value: ir.Value, sizes: Sequence[int], axis: int = -2) -> Sequence[ir.Value]:
    """Split a value along an axis into parts of these sizes; in the place of a part of size 0 the value itself is
    returned, which nobody reads."""
    kept = [size for size in sizes if size]
    parts = iter([value] if len(kept) == 1 else op.Split(value, op.ints(kept), axis=axis, _outputs=len(kept)))
    return [next(parts) if size else value for size in sizes]


def joined(op: Builder, parts: Sequence[ir.Value], axis: int) -> ir.Value:
    """Join parts along an axis."""
    return parts[0] if len(parts) == 1 else op.Concat(*parts, axis=axis)
