"""A mixture of experts, written out: every expert is a pair of layers, and the router's weight is a factor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import all_operands, decomposed, refused

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

DOMAIN = "com.microsoft"
_ACTIVATIONS = ("relu", "gelu", "silu", "swiglu", "identity")


def _refuse(call: Call) -> str | None:
    if call.attr("use_sparse_mixer", 0):
        return "the sparse mixer is not supported"
    activation = call.attr("activation_type", "relu")
    return None if activation in _ACTIVATIONS else f"the activation {activation!r} is not supported"


@decomposed("MoE", domain=DOMAIN, operands=all_operands, refuse=_refuse)
def mixture_of_experts(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: layers for each expert, and the sum of their outputs times the router's weights."""
    x = call.operand(0)
    rows = x if call.rank() == 2 else op.Reshape(x, op.Concat(op.ints([-1]), op.dim(x, -1), axis=0))
    each = _experts(op, call, op.Unsqueeze(rows, op.ints([0])))
    weights = op.Unsqueeze(op.Transpose(_router(op, call), perm=[1, 0]), op.ints([2]))
    mixed = op.ReduceSum(op.Mul(each, weights), op.ints([0]), keepdims=0)
    return [mixed if call.rank() == 2 else op.Reshape(mixed, op.shape(x))]


def _router(op: Builder, call: Call) -> ir.Value:
    """Compute the weight of each expert for each token, [T, E]: the softmax of the router's scores for the k experts
    with the largest, 0 for the others."""
    scores, k = call.operand(1), int(call.attr("k", 1))
    assert scores.dtype is not None
    chances = op.Softmax(scores, axis=-1)
    _, chosen = op.TopK(scores, op.ints([k]), axis=-1, _outputs=2)
    hot = op.one_hot(op.Unsqueeze(chosen, op.ints([-1])), op.dim(scores, -1), ir.DataType.FLOAT)
    picked = op.Greater(op.ReduceSum(hot, op.ints([1]), keepdims=0), 0.0)
    weights = op.Where(picked, chances, op.number(0.0, chances))
    if call.attr("normalize_routing_weights", 0):
        weights = op.Div(weights, op.ReduceSum(weights, op.ints([-1]), keepdims=1))
    return weights


def _experts(op: Builder, call: Call, x: ir.Value) -> ir.Value:
    """Compute the output of each expert for each token: [1, T, D] to [E, T, D]."""
    first = _dense(op, x, call.operand(2), call.input(3))
    activation = call.attr("activation_type", "relu")
    if activation == "swiglu":
        inner = _swiglu(op, call, x, first)
    else:
        inner = _activated(op, activation, first)
        if call.input(6) is not None:
            inner = op.Mul(inner, _dense(op, x, call.operand(6), call.input(7)))
    return _dense(op, inner, call.operand(4), call.input(5))


def _dense(op: Builder, x: ir.Value, weight: ir.Value, bias: ir.Value | None) -> ir.Value:
    """Compute `x·Wᵀ + b` for each expert, with weights [E, out, in] and biases [E, out]."""
    product = op.MatMul(x, op.Transpose(weight, perm=[0, 2, 1]))
    return product if bias is None else op.Add(product, op.Unsqueeze(bias, op.ints([1])))


def _activated(op: Builder, name: str, x: ir.Value) -> ir.Value:
    if name == "identity":
        return x
    if name == "silu":
        return op.Mul(x, op.Sigmoid(x))
    return op.Relu(x) if name == "relu" else op.Gelu(x, approximate="tanh")


def _swiglu(op: Builder, call: Call, x: ir.Value, first: ir.Value) -> ir.Value:
    """Compute `G·sigmoid(α·G)·(L + β)`, with G and L clamped if there is a limit.

    `first` holds G alone (`swiglu_fusion` 0), G and L in turns (1), or G and L side by side (2).
    """
    fusion, limit = int(call.attr("swiglu_fusion", 0)), call.attr("swiglu_limit")
    if fusion == 0:
        gate, signal = first, _dense(op, x, call.operand(6), call.input(7))
    elif fusion == 2:
        gate, signal = op.Split(first, axis=-1, num_outputs=2, _outputs=2)
    else:
        end, last, two = op.ints([2**31 - 1]), op.ints([-1]), op.ints([2])
        gate, signal = (op.Slice(first, op.ints([i]), end, last, two) for i in (0, 1))
    if limit is not None:
        high = op.number(float(limit), x)
        gate, signal = op.Min(gate, high), op.Clip(signal, op.number(-float(limit), x), high)
    alpha, beta = float(call.attr("activation_alpha", 1.0)), float(call.attr("activation_beta", 0.0))
    opened = op.Mul(gate, op.Sigmoid(gate if alpha == 1 else op.Mul(gate, alpha)))
    return op.Mul(opened, signal if beta == 0 else op.Add(signal, beta))


refused("QMoE", domain=DOMAIN, reason="experts with quantised weights have no rule yet")
