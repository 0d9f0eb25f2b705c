"""Matrix products that onnxruntime fuses with transposes, factors and an activation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import all_operands, decomposed

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

DOMAIN = "com.microsoft"
_ACTIVATIONS = ("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign")
_WITH_ALPHA = ("LeakyRelu", "Elu", "ThresholdedRelu")
"""Activations whose only parameter is `activation_alpha`; others would need more attributes of the node."""


def _product(op: Builder, call: Call) -> ir.Value:
    """Compute `α·A'·B'`; α is multiplied into a constant operand, so that a bias downstream belongs to the layer."""
    a, b = (_turned(op, call, index, letter) for index, letter in enumerate("AB"))
    alpha = float(call.attr("alpha", 1.0))
    if alpha == 1:
        return op.MatMul(a, b)
    if call.operand(1).const_value is not None:
        return op.MatMul(a, op.Mul(b, alpha))
    if call.operand(0).const_value is not None:
        return op.MatMul(op.Mul(a, alpha), b)
    return op.Mul(op.MatMul(a, b), alpha)


def _turned(op: Builder, call: Call, index: int, letter: str) -> ir.Value:
    """Transpose an operand: `transBatch` moves axis 0 after the batch axes, `trans` exchanges the last two axes."""
    value, rank = call.operand(index), call.rank(index)
    perm = list(range(rank))
    if call.attr(f"transBatch{letter}", 0):
        perm = [*perm[1:-1], 0, rank - 1]
    if call.attr(f"trans{letter}", 0) and rank > 1:
        perm[-1], perm[-2] = perm[-2], perm[-1]
    return value if perm == list(range(rank)) else op.Transpose(value, perm=perm)


@decomposed("FusedMatMul", "TransposeMatMul", domain=DOMAIN, operands=all_operands)
def fused_matmul(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: MatMul, with transposes and a factor."""
    return [_product(op, call)]


def _refuse(call: Call) -> str | None:
    name = call.attr("activation", "")
    return None if name in ("", *_ACTIVATIONS, *_WITH_ALPHA) else f"the activation {name!r} is not supported"


def _activated(op: Builder, call: Call, value: ir.Value) -> ir.Value:
    name, alpha = call.attr("activation"), call.attr("activation_alpha")
    options = {"alpha": float(alpha)} if name in _WITH_ALPHA and alpha is not None else {}
    return value if not name else getattr(op, name)(value, **options)


@decomposed("FusedMatMulActivation", domain=DOMAIN, operands=all_operands, refuse=_refuse)
def fused_matmul_activation(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: MatMul, with transposes and a factor, then its activation."""
    return [_activated(op, call, _product(op, call))]


@decomposed("FusedGemm", domain=DOMAIN, operands=all_operands, refuse=_refuse)
def fused_gemm(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: Gemm, then its activation."""
    factors = {name: float(call.attr(name, 1.0)) for name in ("alpha", "beta")}
    turned = {name: int(call.attr(name, 0)) for name in ("transA", "transB")}
    product = op.Gemm(call.operand(0), call.operand(1), call.input(2), **factors, **turned)
    return [_activated(op, call, product)]
