"""onnxruntime's own versions of operators that ONNX adopted later, and experimental operators of ONNX's beginnings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import all_operands, decomposed

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

DOMAIN = "com.microsoft"
EXPERIMENTS = ("Affine", "Crop", "ImageScaler", "ParametricSoftplus", "Scale", "ScaledTanh")
"""Operators of the default domain until opset 9; reading a model moves them to `DOMAIN`."""
_MODES = {"bilinear": "linear", "nearest": "nearest", "bicubic": "cubic"}


@decomposed("GridSample", domain=DOMAIN, operands=all_operands)
def grid_sample(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: ONNX's GridSample."""
    x, grid = call.operand(0), call.operand(1)
    outside, corners = call.attr("padding_mode", "zeros"), int(call.attr("align_corners", 0))
    mode = _MODES[call.attr("mode", "bilinear")]
    return [op.GridSample(x, grid, mode=mode, padding_mode=outside, align_corners=corners)]


@decomposed("Trilu", "Pad", "GatherND", domain=DOMAIN)
def same(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: ONNX's operator of the same name."""
    attributes = {name: a.value for name, a in call.attributes.items()}
    return [getattr(op, call.op_type)(*call.inputs, **attributes)]


@decomposed("ExpandDims", domain=DOMAIN)
def expand_dims(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: Unsqueeze."""
    axis = op.Cast(op.Reshape(call.operand(1), op.ints([1])), to=ir.DataType.INT64)
    return [op.Unsqueeze(call.operand(0), axis)]


@decomposed("CDist", domain=DOMAIN, operands=all_operands)
def cdist(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: differences of all pairs of rows, squared and summed, and the root for the metric `euclidean`."""
    apart = op.Sub(op.Unsqueeze(call.operand(0), op.ints([1])), op.Unsqueeze(call.operand(1), op.ints([0])))
    squared = op.ReduceSum(op.Mul(apart, apart), op.ints([-1]), keepdims=0)
    return [op.Sqrt(squared) if call.attr("metric", "sqeuclidean") == "euclidean" else squared]


@decomposed("Affine", domain=DOMAIN)
def affine(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: α·x + β."""
    scaled = op.Mul(call.operand(0), float(call.attr("alpha", 1.0)))
    return [op.Add(scaled, float(call.attr("beta", 0.0)))]


@decomposed("Scale", domain=DOMAIN)
def scale(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a product with a number."""
    return [op.Mul(call.operand(0), float(call.attr("scale", 1.0)))]


@decomposed("ImageScaler", domain=DOMAIN)
def image_scaler(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a picture times a number, plus one per channel."""
    x = call.operand(0)
    scaled = op.Mul(x, float(call.attr("scale", 1.0)))
    return [op.Add(scaled, op.constant(np.reshape(call.attr("bias"), (1, -1, 1, 1)), x.dtype))]


@decomposed("ParametricSoftplus", domain=DOMAIN)
def parametric_softplus(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: α·softplus(β·x)."""
    inside = op.Mul(call.operand(0), float(call.attr("beta")))
    return [op.Mul(op.Softplus(inside), float(call.attr("alpha")))]


@decomposed("ScaledTanh", domain=DOMAIN)
def scaled_tanh(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: α·tanh(β·x)."""
    inside = op.Mul(call.operand(0), float(call.attr("beta")))
    return [op.Mul(op.Tanh(inside), float(call.attr("alpha")))]


@decomposed("Crop", domain=DOMAIN)
def crop(op: Builder, call: Call) -> list[ir.Value]:
    """Written out: a Slice of height and width; `border` tells what to cut on the left, above, right and below."""
    left, above, right, below = call.ints("border")
    size = call.ints("scale", [])
    ends = [above + size[0], left + size[1]] if size else [-below or 2**31, -right or 2**31]
    return [op.Slice(call.operand(0), op.ints([above, left]), op.ints(ends), op.ints([2, 3]))]
