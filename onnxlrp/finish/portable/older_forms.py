"""The forms of single operators in older opsets: what a node is written as there, or why it cannot be.

A form takes a node and an older version of its operator's schema. It either changes the node to that version and
returns None, or returns the reason, as the end of a sentence, and changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx import helper

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import content
from onnxlrp.graph.provenance import is_relevance

Form = Callable[[Builder, ir.Node], "str | None"]


def axes_attribute(op: Builder, node: ir.Node) -> str | None:
    """Reductions before opset 18 take their axes as an attribute, and all axes where there is none."""
    axes = node.inputs[1] if len(node.inputs) > 1 else None
    known = content(axes)
    if axes is not None and known is None:
        return "takes axes that only the run knows"
    if node.attributes.get_int("noop_with_empty_axes", 0) and (known is None or not known.size):
        return "reduces no axis"
    node.attributes.pop("noop_with_empty_axes", None)
    node.resize_inputs(1)
    if known is not None and known.size:
        node.attributes["axes"] = ir.AttrInt64s("axes", known.ravel().tolist())
    return None


def equal_parts(op: Builder, node: ir.Node) -> str | None:
    """Split before opset 18 takes no number of parts: it cuts into equal ones, or the sizes are given."""
    count = node.attributes.get_int("num_outputs", 0)
    if not count:
        return None
    value = node.inputs[0]
    assert value is not None
    axis = node.attributes.get_int("axis", 0)
    size = value.shape[axis] if value.shape is not None else None
    if not isinstance(size, int) and not is_relevance(node):
        return "cuts an axis of unknown size"
    # The relevance part cuts gates alone, which are equally long.
    if isinstance(size, int) and size % count:
        part = -(-size // count)
        sizes = op.ints([part] * (count - 1) + [size - part * (count - 1)])
        node.resize_inputs(2)
        node.replace_input_with(1, sizes)
    del node.attributes["num_outputs"]
    return None


def pads_of_all_axes(op: Builder, node: ir.Node) -> str | None:
    """Pad before opset 18 takes pads for all axes."""
    if node.attributes.get_string("mode", "constant") == "wrap":
        return "wraps around"
    axes = node.inputs[3] if len(node.inputs) > 3 else None
    if axes is None:
        node.resize_inputs(min(len(node.inputs), 3))
        return None
    value, known, pads = node.inputs[0], content(axes), content(node.inputs[1])
    if known is None or pads is None or value is None or value.shape is None:
        return "pads axes that only the run knows"
    rank = len(value.shape)
    every = np.zeros([2, rank], np.int64)
    every[:, known.ravel() % rank] = pads.reshape(2, -1)
    node.replace_input_with(1, op.ints(every.ravel().tolist()))
    node.resize_inputs(3)
    return None


def plain_resize(op: Builder, node: ir.Node) -> str | None:
    """Resize before opset 18 has neither axes nor a filter against aliasing, and stretches."""
    attributes = node.attributes
    if attributes.get_int("antialias", 0):
        return "filters against aliasing"
    if attributes.get_string("keep_aspect_ratio_policy", "stretch") != "stretch":
        return "keeps the ratio of sides"
    if "axes" in attributes:
        return "resizes some axes only"
    if attributes.get_string("coordinate_transformation_mode", "") == "half_pixel_symmetric":
        return "places pixels symmetrically"
    for name in ("antialias", "keep_aspect_ratio_policy"):
        attributes.pop(name, None)
    return None


def sums_only(op: Builder, node: ir.Node) -> str | None:
    """ScatterElements and ScatterND before opset 18 reduce by addition and multiplication alone."""
    return "reduces by max or min" if node.attributes.get_string("reduction", "none") in ("max", "min") else None


def grid_modes(op: Builder, node: ir.Node) -> str | None:
    """GridSample before opset 20 has other names for its modes, and two spatial axes only."""
    value = node.inputs[0]
    if value is None or value.shape is None or len(value.shape) != 4:
        return "samples volumes"
    names = {"linear": "bilinear", "cubic": "bicubic"}
    mode = node.attributes.get_string("mode", "linear")
    node.attributes["mode"] = ir.AttrString("mode", names.get(str(mode), str(mode)))
    return None


def undilated(op: Builder, node: ir.Node) -> str | None:
    """Pools before opsets 18 and 19 have windows without gaps."""
    if any(d != 1 for d in node.attributes.get_ints("dilations", ())):
        return "has gaps in its windows"
    if node.op_type == "LpPool" and node.attributes.get_int("ceil_mode", 0) != 0:
        return "rounds its size up"
    for name in ("dilations", *(["ceil_mode"] if node.op_type == "LpPool" else [])):
        node.attributes.pop(name, None)
    return None


def without_defaults(op: Builder, node: ir.Node) -> str | None:
    """Casts and quantisation before opsets 19 and 21 lack attributes whose defaults change nothing."""
    newest = onnx.defs.get_schema(node.op_type, 21, "").attributes
    known = onnx.defs.get_schema(node.op_type, 17, "").attributes
    for name in [n for n in node.attributes if n not in known]:
        given, default = node.attributes[name].value, helper.get_attribute_value(newest[name].default_value)
        if name not in ("saturate", "output_dtype") and given != default:
            return f"has the attribute {name}"
        if name == "output_dtype" and given not in (0, node.outputs[0].dtype):
            return f"has the attribute {name}"
    for name in [n for n in node.attributes if n not in known]:
        del node.attributes[name]
    return None


def written_gelu(op: Builder, node: ir.Node) -> str | None:
    """Gelu came with opset 20: x · (1 + erf(x/√2)) / 2, or its approximation by a tanh."""
    x = node.inputs[0]
    assert x is not None
    if node.attributes.get_string("approximate", "none") == "tanh":
        cubic = op.Add(x, op.Mul(op.Mul(op.Mul(x, x), x), 0.044715))
        inner = op.Tanh(op.Mul(cubic, math.sqrt(2 / math.pi)))
    else:
        inner = op.Erf(op.Div(x, math.sqrt(2)))
    _replace(op, node, op.Mul(op.Mul(x, op.Add(inner, 1.0)), 0.5))
    return None


def written_mish(op: Builder, node: ir.Node) -> str | None:
    """Mish came with opset 18: x · tanh(log(1 + eˣ))."""
    x = node.inputs[0]
    _replace(op, node, op.Mul(x, op.Tanh(op.Softplus(x))))
    return None


def _replace(op: Builder, node: ir.Node, value: Any) -> None:
    """Put a value in the place of a node's output, under its name."""
    old = node.outputs[0]
    name = old.name
    value.type, value.shape = old.type, old.shape
    ir.convenience.replace_all_uses_with(old, value, replace_graph_outputs=True)
    op.graph.remove(node, safe=True)
    old.name, value.name = None, name


_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")

FORMS: dict[str, Form] = {
    **{f"Reduce{name}": axes_attribute for name in _REDUCTIONS},
    **dict.fromkeys(("AveragePool", "LpPool"), undilated),
    **dict.fromkeys(("Cast", "CastLike", "QuantizeLinear", "DequantizeLinear"), without_defaults),
    **dict.fromkeys(("ScatterElements", "ScatterND"), sums_only),
    "GridSample": grid_modes,
    "Gelu": written_gelu,
    "Mish": written_mish,
    "Pad": pads_of_all_axes,
    "Resize": plain_resize,
    "Split": equal_parts,
}
"""The form of each operator whose schema changed after opset 17 in more than the types that it takes."""
