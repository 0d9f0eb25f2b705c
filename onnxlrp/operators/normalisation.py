"""Normalisations: batch norm is linear at inference; in the others, the statistics of the data count as constants."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.changes import Multipliers, norm_change
from onnxlrp.operators.registry import Reversed, all_operands, custom, linear

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder
    from onnxlrp.operators.reverse_builder import ReverseBuilder


def _training(call: ir.Node | Call) -> bool:
    attribute = call.attributes.get("training_mode")
    return attribute is not None and bool(attribute.value)


def batch_norm_scale(op: Builder, call: Call) -> ir.Value:
    """Compute γ/√(σ² + ε) for each channel, [C]."""
    gamma, variance = call.operand(1), call.operand(4)
    return op.Div(gamma, op.Sqrt(op.Add(variance, float(call.attr("epsilon", 1e-5)))))


def _per_channel(op: Builder, rank: int, value: ir.Value) -> ir.Value:
    """Reshape [C] so that it broadcasts along axis 1."""
    return op.Reshape(value, op.ints([1, -1, *[1] * (rank - 2)] if rank > 1 else [-1]))


def _channel_total(op: Builder, rank: int, value: ir.Value) -> ir.Value:
    """Sum over all axes but axis 1, to [C]."""
    return op.Reshape(op.ReduceSum(value, op.ints([a for a in range(rank) if a != 1]), keepdims=1), op.ints([-1]))


@linear(
    "BatchNormalization",
    linearity="affine",
    operands=lambda call: range(5),
    gradient_only=(1, 2, 3, 4),
)
def batch_norm(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """The batch norm is folded into the layer upstream; without one, relevance passes or takes Epsilon, as the
    composite says."""
    # y = γ·(x − μ)/σ + β, σ² = v + ε: ∂γ = Σ r·(x − μ)/σ, ∂β = Σ r, ∂μ = −γ/σ·Σ r, ∂v = −γ/2σ³·Σ r·(x − μ).
    rank, scale = call.rank(), batch_norm_scale(op, call)
    if operand == 0:
        return op.Mul(r, _per_channel(op, rank, scale))
    if operand == 2:
        return _channel_total(op, rank, r)
    if operand == 3:
        return op.Neg(op.Mul(scale, _channel_total(op, rank, r)))
    centred = op.Sub(call.operand(0), _per_channel(op, rank, call.operand(3)))
    slope = _channel_total(op, rank, op.Mul(r, centred))
    variance = op.Add(call.operand(4), float(call.attr("epsilon", 1e-5)))
    if operand == 1:
        return op.Div(slope, op.Sqrt(variance))
    return op.Mul(-0.5, op.Mul(slope, op.Div(scale, variance)))


@custom(
    "BatchNormalization",
    when=_training,
    per_output=True,
    receives="ratio",
    operands=lambda call: range(5),
    gradient_only=(1, 2, 3, 4),
)
def batch_norm_in_training(op: ReverseBuilder, call: Call, r: list[ir.Value | None], gradient: bool) -> Reversed:
    """Relevance takes one step in which the statistics of the batch are constant; the shift absorbs its share.

    Relevance of the running statistics `m·old + (1 − m)·new` is shared too: that of the mean in proportion to the
    contributions, that of the variance in proportion to the squared deviations; `old` is a constant.
    """
    x, rank, momentum = call.operand(0), call.rank(), float(call.attr("momentum", 0.9))
    axes, epsilon = op.ints([a for a in range(rank) if a != 1]), float(call.attr("epsilon", 1e-5))
    parts = []
    if r[0] is not None:
        gamma, beta = (_per_channel(op, rank, call.operand(i)) for i in (1, 2))
        back = _centred(op, x, r[0], gamma, beta, axes, epsilon, gradient)
        parts.append(_shaped_like_operands(op, call, back))
    running = list(zip((3, 4), r[1:], (_mean, _variance), call.outputs[1:], strict=False))
    for operand, arrived, backwards, y in running:
        if arrived is None:
            continue
        old = op.Mul(momentum, call.operand(operand))
        if gradient:
            fresh = backwards(op, x, _per_channel(op, rank, op.Mul(1 - momentum, arrived)), axes, gradient)
            parts.append(Reversed({**fresh.amounts, operand: op.Mul(momentum, arrived)}))
            continue
        share = op.Div(arrived, op.stabilise(y))
        new = op.Mul(share, op.Sub(y, old))
        fresh = backwards(op, x, _per_channel(op, rank, new), axes, gradient)
        absorbed = Reversed({}, epsilon=op.Sub(arrived, op.Mul(share, y)), bias=op.Mul(share, old))
        parts.append(_plus(op, fresh, absorbed))
    return functools.reduce(lambda a, b: _plus(op, a, b), parts)


@custom("LRN", sign="keeps")
def lrn(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance passes unchanged: the denominator is constant."""
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
    """Sum each channel with `before` channels before it and `after` channels after it, with zeros past the ends."""
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
    """Reverse `y = γ·(x − μ)/σ + β` over axes with σ = √(var + ε); γ and β broadcast to x and are operands 1 and 2.

    Relevance, with σ constant and r = R/s(y): `x·Jᵀ(r)` with `J = γ/σ·(I − 11ᵀ/n)`. Gradient, with n̂ = (x − μ)/σ and
    h = γ·r: `∂x = (h − mean(h) − n̂·mean(h·n̂))/σ`, `∂γ = Σ r·n̂`, `∂β = Σ r`.
    """
    centred, sigma = _moments(op, x, axes, epsilon)
    h = r if gamma is None else op.Mul(r, gamma)
    back = op.Sub(h, op.ReduceMean(h, axes, keepdims=1))
    if not gradient:
        return Reversed(factors={0: op.Div(back, sigma)}, bias=None if beta is None else op.Mul(r, beta))
    normal = op.Div(centred, sigma)
    slope = op.ReduceMean(op.Mul(h, normal), axes, keepdims=1)
    amounts = {0: op.Div(op.Sub(back, op.Mul(normal, slope)), sigma)}
    if gamma is not None:
        amounts[1] = op.unbroadcast(op.Mul(r, normal), gamma)
    if beta is not None:
        amounts[2] = op.unbroadcast(r, beta)
    return Reversed(amounts)


def _moments(op: Builder, x: ir.Value, axes: ir.Value, epsilon: float) -> tuple[ir.Value, ir.Value]:
    """Compute x − μ and σ = √(var + ε) over axes."""
    centred = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    variance = op.ReduceMean(op.Mul(centred, centred), axes, keepdims=1)
    return centred, op.Sqrt(op.Add(variance, epsilon))


def _multiplier(
    op: Builder,
    call: Call,
    before: Call,
    g: ir.Value,
    gamma: ir.Value | None,
    axes: ir.Value,
    epsilon: float,
    *,
    centred: bool = True,
) -> Multipliers:
    """The multiplier of x in a norm over axes, with γ that broadcasts to x."""
    g = g if gamma is None else op.Mul(g, gamma)
    return {0: norm_change(op, (call.operand(0), before.operand(0)), g, axes, epsilon, centred=centred)}


def _layer_norm_multiplier(op: Builder, call: Call, before: Call, g: list[ir.Value | None]) -> Multipliers:
    assert g[0] is not None
    return _multiplier(op, call, before, g[0], call.input(1), _layer_axes(op, call), _epsilon(call))


def _instance_norm_multiplier(op: Builder, call: Call, before: Call, g: ir.Value) -> Multipliers:
    rank = call.rank()
    return _multiplier(
        op, call, before, g, _per_channel(op, rank, call.operand(1)), op.ints(range(2, rank)), _epsilon(call)
    )


def _group_norm_multiplier(op: Builder, call: Call, before: Call, g: ir.Value) -> Multipliers:
    x, groups = call.operand(0), int(call.attr("num_groups"))
    apart, one = (_groups_apart(op, c.operand(0), groups) for c in (call, before))
    points = (call.rebind({0: op.Reshape(x, apart)}), before.rebind({0: op.Reshape(before.operand(0), one)}))
    gamma = _per_group(op, call.input(1), groups)
    back = _multiplier(op, *points, op.Reshape(g, apart), gamma, op.ints([2, 3]), _epsilon(call))
    return {0: op.Reshape(back[0], op.shape(x))}


def _mean_variance_multiplier(op: Builder, call: Call, before: Call, g: ir.Value) -> Multipliers:
    return _multiplier(op, call, before, g, None, op.ints(call.ints("axes", (0, 2, 3))), 1e-18)


def _rms_norm_multiplier(op: Builder, call: Call, before: Call, g: ir.Value) -> Multipliers:
    return _multiplier(op, call, before, g, call.operand(1), _layer_axes(op, call), _epsilon(call), centred=False)


def _epsilon(call: Call) -> float:
    return float(call.attr("epsilon", 1e-5))


def _layer_axes(op: Builder, call: Call) -> ir.Value:
    """The axes that a norm runs over: those from `axis` on, or the attribute `axes` of a written-out norm."""
    rank = call.rank()
    return op.ints([int(a) % rank for a in call.attr("axes", range(int(call.attr("axis", -1)) % rank, rank))])


def _groups_apart(op: Builder, x: ir.Value, groups: int) -> ir.Value:
    """The shape [N, G, C/G, H·W], in which the statistics are over the last two axes."""
    channels = op.Div(op.dim(x, 1), op.ints([groups]))
    return op.Concat(op.dim(x, 0), op.ints([groups]), channels, op.volume(x, 2), axis=0)


def _shaped_like_operands(op: Builder, call: Call, back: Reversed) -> Reversed:
    """Reshape the results for reshaped operands to the shapes of the call's own operands."""

    def shaped(parts: dict[int, ir.Value]) -> dict[int, ir.Value]:
        return {i: op.Reshape(v, op.shape(call.operand(i))) for i, v in parts.items()}

    return dataclasses.replace(back, amounts=shaped(back.amounts), factors=shaped(back.factors))


@custom(
    "LayerNormalization",
    per_output=True,
    receives="ratio",
    operands=all_operands,
    gradient_only=(1, 2),
    multiplier=_layer_norm_multiplier,
)
def layer_norm(op: ReverseBuilder, call: Call, r: list[ir.Value | None], gradient: bool) -> Reversed:
    """Relevance takes one step in which the statistics are constant; the shift absorbs its share.

    Relevance of the output Mean is shared in proportion to the contributions, that of InvStdDev in proportion to the
    squared deviations. A call that stands for a written-out norm has an attribute `axes`, of any axes, and may lack γ.
    """
    x, axes, epsilon = call.operand(0), _layer_axes(op, call), _epsilon(call)
    parts = []
    if r[0] is not None:
        parts.append(_centred(op, x, r[0], call.input(1), call.input(2), axes, epsilon, gradient))
    if len(r) > 1 and r[1] is not None:
        parts.append(_mean(op, x, r[1], axes, gradient))
    if len(r) > 2 and r[2] is not None:
        parts.append(_inverse_deviation(op, x, r[2], axes, epsilon, gradient))
    return functools.reduce(lambda a, b: _plus(op, a, b), parts)


def _mean(op: ReverseBuilder, x: ir.Value, r: ir.Value, axes: ir.Value, gradient: bool) -> Reversed:
    """Reverse the mean over axes: the gradient is r/n, relevance is shared in proportion to the contributions."""
    if gradient:
        ones = op.full_like(x, 1)
        return Reversed({0: op.Mul(ones, op.Div(r, op.ReduceSum(ones, axes, keepdims=1)))})
    total = op.ReduceSum(x, axes, keepdims=1)
    share = op.Div(r, op.stabilise(total))
    return Reversed({0: op.Mul(x, share)}, epsilon=op.Sub(r, op.Mul(share, total)))


def _variance(op: ReverseBuilder, x: ir.Value, r: ir.Value, axes: ir.Value, gradient: bool) -> Reversed:
    """Reverse the variance over axes: the gradient is `2r·(x − μ)/n`, relevance goes in proportion to `(x − μ)²`."""
    centred = op.Sub(x, op.ReduceMean(x, axes, keepdims=1))
    if gradient:
        return Reversed({0: op.Mul(2.0, op.Mul(centred, _mean(op, x, r, axes, gradient).amounts[0]))})
    squares = op.Mul(centred, centred)
    total = op.ReduceSum(squares, axes, keepdims=1)
    share = op.Div(r, op.stabilise(total, nonnegative=True))
    return Reversed({0: op.Mul(squares, share)}, epsilon=op.Sub(r, op.Mul(share, total)))


def _inverse_deviation(
    op: ReverseBuilder, x: ir.Value, r: ir.Value, axes: ir.Value, epsilon: float, gradient: bool
) -> Reversed:
    """Reverse `1/σ` over axes: the gradient is `−r·(x − μ)/(n·σ³)`, relevance goes in proportion to `(x − μ)²`."""
    centred, sigma = _moments(op, x, axes, epsilon)
    if gradient:
        back = _mean(op, x, op.Div(r, op.Mul(sigma, op.Mul(sigma, sigma))), axes, gradient).amounts[0]
        return Reversed({0: op.Neg(op.Mul(back, centred))})
    return _variance(op, x, r, axes, gradient)


def _plus(op: Builder, a: Reversed, b: Reversed) -> Reversed:
    """Add up the results of two outputs of a norm; ledger entries are summed first, as their shapes may differ."""

    def total(*parts: ir.Value | None) -> ir.Value | None:
        sums = [op.ReduceSum(v, keepdims=0) for v in parts if v is not None]
        return functools.reduce(op.Add, sums) if sums else None

    both = b.amounts | {i: op.Add(v, b.amounts[i]) if i in b.amounts else v for i, v in a.amounts.items()}
    epsilon, bias = total(a.epsilon, b.epsilon), total(a.bias, b.bias)
    # Only the norm's first output yields factors.
    return Reversed(both, epsilon=epsilon, bias=bias, factors=a.factors | b.factors)


@custom(
    "InstanceNormalization",
    receives="ratio",
    operands=all_operands,
    gradient_only=(1, 2),
    multiplier=_instance_norm_multiplier,
)
def instance_norm(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance takes one step in which the statistics are constant; the shift absorbs its share."""
    rank = call.rank()
    gamma, beta = (_per_channel(op, rank, call.operand(i)) for i in (1, 2))
    epsilon = float(call.attr("epsilon", 1e-5))
    back = _centred(op, call.operand(0), r, gamma, beta, op.ints(range(2, rank)), epsilon, gradient)
    return _shaped_like_operands(op, call, back)


@custom(
    "GroupNormalization",
    receives="ratio",
    operands=all_operands,
    gradient_only=(1, 2),
    multiplier=_group_norm_multiplier,
)
def group_norm(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance takes one step in which the statistics are constant; the shift absorbs its share."""
    # A call that stands for a written-out norm may lack scale and shift, or have a single number.
    x, groups = call.operand(0), int(call.attr("num_groups"))
    apart = _groups_apart(op, x, groups)
    gamma, beta = (_per_group(op, call.input(i), groups) for i in (1, 2))
    rows, share = op.Reshape(x, apart), op.Reshape(r, apart)
    back = _centred(op, rows, share, gamma, beta, op.ints([2, 3]), float(call.attr("epsilon", 1e-5)), gradient)
    return _shaped_like_operands(op, call, back)


def _per_group(op: Builder, value: ir.Value | None, groups: int) -> ir.Value | None:
    """Reshape [C] to [1, G, C/G, 1], and one number to [1, 1, 1, 1]."""
    if value is None:
        return None
    one = all(d == 1 for d in op.dims(value))
    return op.Reshape(value, op.ints([1, 1, 1, 1] if one else [1, groups, -1, 1]))


@custom("MeanVarianceNormalization", receives="ratio", multiplier=_mean_variance_multiplier)
def mean_variance_norm(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance takes one step in which the statistics are constant."""
    # ONNX divides by σ + 1e-9, which is √(var + 1e-18) to nine digits.
    axes = op.ints(call.ints("axes", (0, 2, 3)))
    return _centred(op, call.operand(0), r, None, None, axes, 1e-18, gradient)


@custom("RMSNormalization", sign="keeps", operands=all_operands, gradient_only=(1,), multiplier=_rms_norm_multiplier)
def rms_norm(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance passes unchanged: the denominator is constant."""
    if not gradient:
        return Reversed({0: r})
    x, gamma, rank = call.operand(0), call.operand(1), call.rank()
    axes = op.ints(range(int(call.attr("axis", -1)) % rank, rank))
    mean = op.ReduceMean(op.Mul(x, x), axes, keepdims=1)
    root = op.Sqrt(op.Add(mean, float(call.attr("epsilon", 1e-5))))
    normal, h = op.Div(x, root), op.Mul(r, gamma)
    around = op.Mul(normal, op.ReduceMean(op.Mul(h, normal), axes, keepdims=1))
    return Reversed({0: op.Div(op.Sub(h, around), root), 1: op.unbroadcast(op.Mul(r, normal), gamma)})


@custom("LpNormalization", sign="keeps", head="rescale")
def lp_norm(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
    """Relevance passes unchanged: the denominator is constant."""
    if not gradient:
        return Reversed({0: r})
    # y = x/‖x‖: ∂ = (r − u·Σ r·y)/‖x‖ with u = sgn(x) for p = 1 and y for p = 2.
    x, y, axes = call.operand(0), call.outputs[0], op.ints([int(call.attr("axis", -1))])
    norm = op.ReduceL1(x, axes, keepdims=1) if int(call.attr("p", 2)) == 1 else op.ReduceL2(x, axes, keepdims=1)
    u = op.Sign(x) if int(call.attr("p", 2)) == 1 else y
    return Reversed({0: op.Div(op.Sub(r, op.Mul(u, op.ReduceSum(op.Mul(r, y), axes, keepdims=1))), norm)})
