"""Normalisations. Batch norm is linear at inference; where a statistic of the data divides, it is held constant."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.operators.registry import Call, Reversed, custom, linear

if TYPE_CHECKING:
    from onnxlrp.builder import Builder


def _training(call: Call) -> str | None:
    return "batch norm in training mode: export the model for inference" if call.attr("training_mode", 0) else None


def batch_norm_scale(op: Builder, call: Call) -> ir.Value:
    """γ/√(σ² + ε) per channel, [C]."""
    gamma, variance = call.operand(1), call.operand(4)
    return op.Div(gamma, op.Sqrt(op.Add(variance, float(call.attr("epsilon", 1e-5)))))


@linear("BatchNormalization", jointly=True, scale=True, refuse=_training)
def batch_norm(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Folded into the layer before it; alone: passes or ε, as the composite says."""
    rank = call.rank()
    return op.Mul(r, op.Reshape(batch_norm_scale(op, call), op.ints([1, -1, *[1] * (rank - 2)])))


@custom("LRN", sign="keeps")
def lrn(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Passes unchanged: the denominator is constant."""
    if not gradient:
        return Reversed({0: r})
    # y = x·D^−β with D = k + α/n·Σ x² over n channels: ∂ = r·D^−β − 2αβ/n·x·Σᵀ(r·y/D).
    x, y = call.operand(0), call.outputs[0]
    size = int(call.attr("size"))
    alpha, beta, bias = (float(call.attr(k, v)) for k, v in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    before, after = (size - 1) // 2, size // 2
    window = _channel_sums(op, op.Mul(x, x), before, after, size)
    d = op.Add(bias, op.Mul(alpha / size, window))
    around = _channel_sums(op, op.Div(op.Mul(r, y), d), after, before, size)
    direct = op.Mul(r, op.Pow(d, op.number(-beta, d)))
    return Reversed({0: op.Sub(direct, op.Mul(2 * alpha * beta / size, op.Mul(x, around)))})


def _channel_sums(op: Builder, x: ir.Value, before: int, after: int, size: int) -> ir.Value:
    """Sums over `before` channels in front and `after` behind each channel, zeros past the ends."""
    rows = op.Reshape(x, op.ints([0, 0, -1]))
    padded = op.Pad(op.Unsqueeze(rows, op.ints([1])), op.ints([0, 0, before, 0, 0, 0, after, 0]))
    averages = op.AveragePool(padded, kernel_shape=[size, 1])
    return op.Reshape(op.Mul(float(size), averages), op.shape(x))


def _centred(
    op: Builder,
    x: ir.Value,
    r: ir.Value,
    gamma: ir.Value | None,
    beta: ir.Value | None,
    axes: ir.Value,
    epsilon: float,
    gradient: bool,
) -> Reversed:
    """`y = γ·(x − μ)/σ + β` over axes, σ = √(var + ε); γ and β broadcast to x.

    Relevance: σ constant, `x·Jᵀ(R/s(y))` with `J = γ/σ·(I − 11ᵀ/n)`. Gradient: with n̂ = (x − μ)/σ and h = γ·r,
    `(h − mean(h) − n̂·mean(h·n̂))/σ`.
    """
    centred = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    variance = op.ReduceMean(op.Mul(centred, centred), axes, keepdims=1)
    sigma = op.Sqrt(op.Add(variance, epsilon))
    normal = op.Div(centred, sigma)
    scaled = normal if gamma is None else op.Mul(normal, gamma)
    y = scaled if beta is None else op.Add(scaled, beta)
    share = r if gradient else op.Div(r, op.stabilise(y))
    h = share if gamma is None else op.Mul(share, gamma)
    back = op.Sub(h, op.ReduceMean(h, axes, keepdims=1))
    if gradient:
        slope = op.ReduceMean(op.Mul(h, normal), axes, keepdims=1)
        return Reversed({0: op.Div(op.Sub(back, op.Mul(normal, slope)), sigma)})
    kept = op.Sub(r, op.Mul(share, y))
    bias = None if beta is None else op.Mul(share, beta)
    return Reversed({0: op.Mul(x, op.Div(back, sigma))}, epsilon=kept, bias=bias)


@custom("LayerNormalization")
def layer_norm(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """One step: the statistics are constant, the shift absorbs its share."""
    rank = call.rank()
    axes = op.ints(range(int(call.attr("axis", -1)) % rank, rank))
    epsilon = float(call.attr("epsilon", 1e-5))
    return _centred(op, call.operand(0), r, call.operand(1), call.input(2), axes, epsilon, gradient)


@custom("InstanceNormalization")
def instance_norm(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """One step: the statistics are constant, the shift absorbs its share."""
    rank = call.rank()
    gamma, beta = (op.Reshape(call.operand(i), op.ints([1, -1, *[1] * (rank - 2)])) for i in (1, 2))
    epsilon = float(call.attr("epsilon", 1e-5))
    return _centred(op, call.operand(0), r, gamma, beta, op.ints(range(2, rank)), epsilon, gradient)


@custom("GroupNormalization")
def group_norm(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """One step: the statistics are constant, the shift absorbs its share."""
    x, groups = call.operand(0), int(call.attr("num_groups"))
    # [N, G, C/G, H·W]: the statistics are over the last two axes.
    apart = op.Concat(op.dim(x, 0), op.ints([groups]), op.Div(op.dim(x, 1), op.ints([groups])), op.ints([-1]), axis=0)
    gamma, beta = (op.Reshape(call.operand(i), op.ints([1, groups, -1, 1])) for i in (1, 2))
    rows, share = op.Reshape(x, apart), op.Reshape(r, apart)
    back = _centred(op, rows, share, gamma, beta, op.ints([2, 3]), float(call.attr("epsilon", 1e-5)), gradient)
    return dataclasses.replace(back, amounts={0: op.Reshape(back.amounts[0], op.shape(x))})


@custom("RMSNormalization", sign="keeps")
def rms_norm(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Passes unchanged: the denominator is constant."""
    if not gradient:
        return Reversed({0: r})
    x, gamma, rank = call.operand(0), call.operand(1), call.rank()
    axes = op.ints(range(int(call.attr("axis", -1)) % rank, rank))
    mean = op.ReduceMean(op.Mul(x, x), axes, keepdims=1)
    root = op.Sqrt(op.Add(mean, float(call.attr("epsilon", 1e-5))))
    normal, h = op.Div(x, root), op.Mul(r, gamma)
    around = op.Mul(normal, op.ReduceMean(op.Mul(h, normal), axes, keepdims=1))
    return Reversed({0: op.Div(op.Sub(h, around), root)})


@custom("LpNormalization", sign="keeps")
def lp_norm(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Passes unchanged: the denominator is constant."""
    if not gradient:
        return Reversed({0: r})
    # y = x/‖x‖: ∂ = (r − u·Σ r·y)/‖x‖ with u = sgn(x) for p = 1 and y for p = 2.
    x, y, axes = call.operand(0), call.outputs[0], op.ints([int(call.attr("axis", -1))])
    norm = op.ReduceL1(x, axes, keepdims=1) if int(call.attr("p", 2)) == 1 else op.ReduceL2(x, axes, keepdims=1)
    u = op.Sign(x) if int(call.attr("p", 2)) == 1 else y
    return Reversed({0: op.Div(op.Sub(r, op.Mul(u, op.ReduceSum(op.Mul(r, y), axes, keepdims=1))), norm)})
