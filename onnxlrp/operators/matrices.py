"""Functions of whole matrices: the determinant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.einsum import identity
from onnxlrp.operators.registry import Reversed, custom

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder
    from onnxlrp.operators.reverse_builder import ReverseBuilder

LARGEST = 16
"""Largest number of rows of a matrix whose cofactors are accurate."""


def _size(call: Call) -> int | None:
    """Count the rows of the matrices; None where the number is not known before the model runs."""
    shape = call.operand(0).shape
    known = [] if shape is None else [d for d in shape[-2:] if isinstance(d, int)]
    return known[0] if known else None


def _too_large(call: Call) -> str | None:
    size = _size(call)
    if size is None:
        return "the size of its matrices must be declared"
    return None if size <= LARGEST else f"its matrices are larger than {LARGEST}×{LARGEST}"


@custom("Det", refuse=_too_large)
def determinant(op: ReverseBuilder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance is shared equally by the rows, and within a row in proportion to `x·cofactor`."""
    x, y, size = call.operand(0), call.outputs[0], _size(call)
    assert size is not None and r.dtype is not None
    share = r if gradient else op.Div(r, op.Mul(float(size), op.stabilise(y)))
    wide = op.Unsqueeze(share, op.ints([-2, -1]))
    back = op.Mul(wide, op.cast(_cofactors(op, x, size), r.dtype))
    if gradient:
        return Reversed({0: back})
    return Reversed({0: op.Mul(x, back)}, epsilon=op.Sub(r, op.Mul(op.Mul(float(size), share), y)))


def _cofactors(op: Builder, x: ir.Value, size: int) -> ir.Value:
    """Compute the cofactors `det(X)·X⁻ᵀ` in double precision, also of an X without an inverse (Faddeev–LeVerrier).

    With M₁ = I, cₖ = −tr(X·Mₖ)/k and Mₖ₊₁ = X·Mₖ + cₖ·I the adjugate is (−1)ⁿ⁻¹·Mₙ: nothing is divided by X.
    """
    rank = len(op.dims(x))
    x = op.cast(x, ir.DataType.DOUBLE)
    unit = identity(op, op.ints([size]), ir.DataType.DOUBLE)
    m = op.Add(unit, op.Mul(x, 0.0))
    for k in range(1, size):
        product = op.MatMul(x, m)
        trace = op.ReduceSum(op.Mul(product, unit), op.ints([rank - 2, rank - 1]), keepdims=1)
        m = op.Sub(product, op.Mul(op.Div(trace, float(k)), unit))
    turned = op.Transpose(m, perm=[*range(rank - 2), rank - 1, rank - 2])
    return turned if size % 2 else op.Neg(turned)
