"""Normalisations. Batch norm is linear at inference; where a statistic of the data divides, it is held constant."""

from __future__ import annotations

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
