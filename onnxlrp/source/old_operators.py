"""Rewrite operators of opsets before 21 for opset 21; each change has one function, and the table of changes is at the
end.

`onnx.version_converter` is not used: it reads Resize of opset 10 and Upsample as later ones, whose coordinates differ,
and Hardmax below opset 13 as one along a single axis.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import InvalidModelError
from onnxlrp.graph.readers import is_read
from onnxlrp.source.old_node import Old
from onnxlrp.source.old_scans import over_samples

Finish = Callable[[], None]
Lift = Callable[[Old], Finish | None]
"""A function that rewrites a node; it returns the rest of the work, to be done once types and ranks are known, or None.
"""
_GRID_MODES = {"bilinear": "linear", "bicubic": "cubic"}
_MOST = float(np.finfo(np.float32).max)


def lift(node: ir.Node, version: int) -> Finish | None:
    """Rewrite a node of an older opset for opset 21; returns the rest of the work, to be done once types and ranks are
    known.

    Raises InvalidModelError if no later operator computes the same.
    """
    changed, change = _CHANGES.get(node.op_type, (0, None))
    if change is None or version >= changed:
        return None
    return change(Old(node, version))


# ------------------------------------------------------------------------------------ attributes that became operands


def _axes(old: Old) -> None:
    """Rewrite a reduction or Squeeze, which takes all axes if it names none or an empty list of them."""
    if axes := old.take("axes"):
        old.put(1, old.ints(axes))


def _unsqueeze(old: Old) -> None:
    if old.optional(1) is None:
        old.put(1, old.ints(old.take("axes", ())))


def _slice(old: Old) -> None:
    for index, name in enumerate(("starts", "ends", "axes"), 1):
        values = old.take(name)
        if values is not None:
            old.put(index, old.ints(values))


def _split(old: Old) -> None:
    """Rewrite a Split into parts of given sizes, or, since opset 18, into a given number of parts."""
    if sizes := old.take("split"):
        old.put(1, old.ints(sizes))
    elif old.optional(1) is None:
        old.set("num_outputs", len(old.node.outputs))


def _top_k(old: Old) -> None:
    old.put(1, old.ints([old.take("k")]))


def _dft(old: Old) -> None:
    old.put(2, old.constant(np.int64(old.take("axis", 1))))


def _clip(old: Old) -> Finish:
    """Rewrite a Clip: bounds that are left out are the largest and smallest float32, so that infinite values become
    finite."""
    bounds = old.take("min", -_MOST), old.take("max", _MOST)

    def finish() -> None:
        for index, bound in enumerate(bounds, 1):
            old.put(index, old.number(bound, old.operand(0)))

    return finish


def _pad(old: Old) -> Finish | None:
    old.put(1, old.ints(old.take("pads", ())))
    value = old.take("value", 0.0)
    return (lambda: old.put(2, old.number(value, old.operand(0)))) if value else None


# ----------------------------------------------------------------------------------------------- meanings that changed


def _over_the_rest(old: Old) -> Finish:
    """Rewrite a Softmax, LogSoftmax or Hardmax over all axes from `axis` on at once; if `axis` is the last one, the
    meaning is the same today."""
    axis = old.take("axis", 1)
    old.set("axis", -1)

    def finish() -> None:
        x = old.operand(0)
        if axis == -1 or (x.shape is not None and axis == len(x.shape) - 1):
            return
        shape = old.upstream("Shape", x)
        old.put(0, old.upstream("Flatten", x, axis=axis))
        old.downstream(old.node.outputs[0], "Reshape", shape)

    return finish


def _batch_normalization(old: Old) -> None:
    """Rewrite a BatchNormalization; with `spatial=0`, until opset 9, each element of a sample has its own mean,
    variance, scale and bias."""
    node = old.node
    if any(map(is_read, node.outputs[1:])):
        raise InvalidModelError(
            f"BatchNormalization node {node.name!r} (opset {old.version}) gives out its running mean or variance: "
            "export the model for inference"
        )
    node.resize_outputs(1)
    if not old.take("spatial", 1):
        _element_by_element(old)


def _element_by_element(old: Old) -> None:
    """Compute `(x − mean) · scale / √(variance + ε) + bias` with elementwise nodes."""
    x, scale, bias, mean, variance = (old.operand(i) for i in range(5))
    epsilon = old.number(old.take("epsilon", 1e-5), variance)
    deviation = old.upstream("Sqrt", old.upstream("Add", variance, epsilon))
    centred = old.upstream("Sub", x, mean)
    product = old.upstream("Mul", centred, old.upstream("Div", scale, deviation))
    old.node.op_type = "Add"
    old.node.attributes.clear()
    old.node.resize_inputs(2)
    old.put(0, product)
    old.put(1, bias)


def _dropout(old: Old) -> None:
    """Rewrite a Dropout, which drops nothing at inference: onnxruntime makes the mask all 0, and below opset 10 the
    mask has the type of the data."""
    old.take("ratio")
    if any(map(is_read, old.node.outputs[1:])):
        mask = old.downstream(old.node.outputs[1], "Not")
        if old.version < 10:
            old.downstream(mask, "CastLike", old.operand(0))


def _roi_align(old: Old) -> None:
    """Rewrite a RoiAlign, which did not shift positions by half an element."""
    old.set("coordinate_transformation_mode", "output_half_pixel")


def _grid_sample(old: Old) -> None:
    """Rewrite a GridSample, whose modes had the names for two-dimensional images."""
    mode = old.take("mode", "bilinear")
    old.set("mode", _GRID_MODES.get(mode, mode))


def _group_normalization(old: Old) -> Finish:
    """Rewrite a GroupNormalization: scale and bias had one number for each group and now have one for each channel."""
    groups, x = old.node.attributes["num_groups"].as_int(), old.operand(0)

    def finish() -> None:
        channels = None if x.shape is None else x.shape[1]
        if isinstance(channels, int):
            size = old.ints([1, channels // groups])
        else:
            each = old.upstream("Div", old.upstream("Shape", x, start=1, end=2), old.ints([groups]))
            size = old.upstream("Concat", old.ints([1]), each, axis=0)
        for index in (1, 2):
            column = old.upstream("Reshape", old.operand(index), old.ints([groups, 1]))
            old.put(index, old.upstream("Reshape", old.upstream("Expand", column, size), old.ints([-1])))

    return finish


def _scatter(old: Old) -> None:
    """Rename a Scatter, which is ScatterElements under another name."""
    old.node.op_type = "ScatterElements"


# ------------------------------------------------------------------------------------------------------------ resizing


def _resize(old: Old) -> None:
    """Rewrite a Resize of opset 10, or an Upsample: `x_old = x_new / scale`.

    The nearest element is at or before that position along an axis that grows, and at or after it along an axis that
    shrinks. Each kind of axis takes a Resize of its own, and both are written if the scales are known only at run time.
    """
    written, mode = old.take("scales"), old.take("mode", "nearest")
    scales = old.operand(1) if written is None else old.constant(np.asarray(written, np.float32))
    tensor = ir.convenience.get_const_tensor(scales)
    known = None if tensor is None else tensor.numpy()
    shared = {"mode": mode, "coordinate_transformation_mode": "asymmetric"}
    grows = known is None or (known > 1).any()
    shrinks = known is None or (known < 1).any()
    if mode == "nearest" and grows and shrinks:
        one = old.constant(np.float32(1))
        larger = old.upstream("Max", scales, one)
        x = old.upstream("Resize", old.operand(0), None, larger, nearest_mode="floor", **shared)
        old.put(0, x)
        scales = old.upstream("Min", scales, one)
    old.node.op_type = "Resize"
    for name, value in shared.items():
        old.set(name, value)
    if mode == "nearest":
        old.set("nearest_mode", "ceil" if shrinks else "floor")
    old.put(1, None)
    old.put(2, scales)


_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
_CHANGES: dict[str, tuple[int, Lift]] = {
    "BatchNormalization": (14, _batch_normalization),
    "Clip": (11, _clip),
    "DFT": (20, _dft),
    "Dropout": (12, _dropout),
    "GridSample": (20, _grid_sample),
    "GroupNormalization": (21, _group_normalization),
    "Hardmax": (13, _over_the_rest),
    "LogSoftmax": (13, _over_the_rest),
    "Pad": (11, _pad),
    **{f"Reduce{name}": (18, _axes) for name in _REDUCTIONS},
    "ReduceSum": (13, _axes),
    "Resize": (11, _resize),
    "RoiAlign": (16, _roi_align),
    "Scan": (9, over_samples),
    "Scatter": (21, _scatter),
    "Slice": (10, _slice),
    "Softmax": (13, _over_the_rest),
    "Split": (18, _split),
    "Squeeze": (13, _axes),
    "TopK": (10, _top_k),
    "Unsqueeze": (13, _unsqueeze),
    "Upsample": (21, _resize),
}
"""Changes by operator: the first opset in which the operator is as in opset 21, and the function that rewrites an older
one."""
