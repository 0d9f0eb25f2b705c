"""Activations that onnxruntime fuses with a bias."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import all_operands, decomposed

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

DOMAIN = "com.microsoft"


def _biased(op: Builder, call: Call) -> ir.Value:
    x, bias = call.operand(0), call.input(1)
    return x if bias is None else op.Add(x, bias)


@decomposed("Gelu", "BiasGelu", domain=DOMAIN, operands=all_operands)
def gelu(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a bias where there is one, then GELU."""
    return [op.Gelu(_biased(op, call))]


@decomposed("FastGelu", domain=DOMAIN, operands=all_operands)
def fast_gelu(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a bias where there is one, then GELU by tanh."""
    return [op.Gelu(_biased(op, call), approximate="tanh")]


@decomposed("QuickGelu", domain=DOMAIN, operands=all_operands)
def quick_gelu(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: `x·sigmoid(α·x)`, one activation."""
    x, alpha = call.operand(0), float(call.attr("alpha", 1.702))
    return [op.Mul(x, op.Sigmoid(x if alpha == 1 else op.Mul(x, alpha)))]


@decomposed("BiasAdd", domain=DOMAIN, operands=all_operands)
def bias_add(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a bias, then a residual sum."""
    return [op.Add(_biased(op, call), call.operand(2))]


@decomposed("BiasSplitGelu", domain=DOMAIN, operands=all_operands)
def bias_split_gelu(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a bias, then the first half of the columns times the GELU of the second half."""
    signal, gate = op.Split(_biased(op, call), axis=-1, num_outputs=2, _outputs=2)
    return [op.Mul(signal, op.Gelu(gate))]
