"""Gates that onnxruntime fuses with a factor, a sum or a norm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.fused_norms import root_mean_square, wide
from onnxlrp.operators.registry import all_operands, decomposed

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

DOMAIN = "com.microsoft"


@decomposed("ScaledSiLU", domain=DOMAIN, operands=all_operands)
def scaled_silu(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: SiLU of a product with a number."""
    x, factor, alpha = call.operand(0), call.input(1), float(call.attr("alpha", 1.0))
    assert x.dtype is not None
    if factor is not None or alpha != 1:
        x = op.cast(op.Mul(wide(op, x), alpha if factor is None else wide(op, factor)), x.dtype)
    return [op.Mul(x, op.Sigmoid(x))]


@decomposed("GatedAdd", domain=DOMAIN, operands=all_operands)
def gated_add(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a product with one gate a row, then a residual sum."""
    return [op.Add(call.operand(0), op.Mul(call.operand(1), call.operand(2)))]


def _refuse(call: Call) -> str | None:
    name = call.attr("activation", "silu")
    return None if name in ("silu", "swish", "sigmoid") else f"the activation {name!r} is not supported"


@decomposed("GatedRMSNorm", domain=DOMAIN, operands=all_operands, refuse=_refuse)
def gated_root_mean_square(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a division by the root mean square of each head, then a product with the gate's SiLU or sigmoid."""
    x, gamma, gate = call.operand(0), wide(op, call.operand(1)), wide(op, call.operand(2))
    width, size = op.dims(x)[-1], op.dims(gamma)[0]
    heads = (
        x if width == size else op.Reshape(x, op.Concat(op.shape(x, 0, -1), op.ints([-1]), op.dim(gamma, 0), axis=0))
    )
    y, _ = root_mean_square(op, heads, gamma, float(call.attr("epsilon", 1e-5)))
    y = y if heads is x else op.Reshape(y, op.shape(x))
    opened = op.Sigmoid(gate)
    if call.attr("activation", "silu") != "sigmoid":
        opened = op.Mul(gate, opened)
    assert x.dtype is not None
    return [op.cast(op.Mul(y, opened), x.dtype)]
