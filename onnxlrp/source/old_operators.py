"""Operators as they were before opset 21, written as they are now; one function for each change, table at the end.

`onnx.version_converter` is not asked: it takes Resize of opset 10 and Upsample for later ones, whose coordinates are
others, and Hardmax below opset 13 for one along an axis.
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
"""Write a node anew; the answer is the rest of the work, to be done once types and ranks are known, if there is any."""
_GRID_MODES = {"bilinear": "linear", "bicubic": "cubic"}
_MOST = float(np.finfo(np.float32).max)


def lift(node: ir.Node, version: int) -> Finish | None:
    """Write a node of an older opset as opset 21 does; the rest of the work, once types and ranks are known.

    Raises InvalidModelError where it says what no later operator does.
    """
    changed, change = _CHANGES.get(node.op_type, (0, None))
    if change is None or version >= changed:
        return None
    return change(Old(node, version))


# ------------------------------------------------------------------------------------ attributes that became operands


def _axes(old: Old) -> None:
    """Reductions and Squeeze: no axes, and an empty list of them, mean all."""
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
    """Parts of given sizes, or since opset 18 so many of them."""
    if sizes := old.take("split"):
        old.put(1, old.ints(sizes))
    elif old.optional(1) is None:
        old.set("num_outputs", len(old.node.outputs))


def _top_k(old: Old) -> None:
    old.put(1, old.ints([old.take("k")]))


def _dft(old: Old) -> None:
    old.put(2, old.constant(np.int64(old.take("axis", 1))))


def _clip(old: Old) -> Finish:
    """Bounds that are left out are those of float32, and infinite values become them."""
    bounds = old.take("min", -_MOST), old.take("max", _MOST)

    def finish() -> None:
        for index, bound in enumerate(bounds, 1):
            old.put(index, old.number(bound, old.operand(0)))

    return finish


def _pad(old: Old) -> Finish | None:
    old.put(1, old.ints(old.take("pads", ())))
    value = old.take("value", 0.0)
    return (lambda: old.put(2, old.number(value, old.operand(0)))) if value else None


# ------------------------------------------------------------------------------------------------- meanings that moved


def _over_the_rest(old: Old) -> Finish:
    """Softmax, LogSoftmax, Hardmax: over all axes from `axis` on at once, which for the last is what it is now."""
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
    """`spatial=0`, until opset 9: each element of a sample has a mean, a variance, a scale and a bias of its own."""
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
    """`(x − mean) · scale / √(variance + ε) + bias`."""
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
    """Drop nothing; onnxruntime makes the mask all 0, and below opset 10 it has the type of the data."""
    old.take("ratio")
    if any(map(is_read, old.node.outputs[1:])):
        mask = old.downstream(old.node.outputs[1], "Not")
        if old.version < 10:
            old.downstream(mask, "CastLike", old.operand(0))


def _roi_align(old: Old) -> None:
    """Positions were not moved by half an element."""
    old.set("coordinate_transformation_mode", "output_half_pixel")


def _grid_sample(old: Old) -> None:
    """Modes had the names that they have for pictures."""
    mode = old.take("mode", "bilinear")
    old.set("mode", _GRID_MODES.get(mode, mode))


def _group_normalization(old: Old) -> Finish:
    """Scale and bias were one number for each group, now they are for each channel."""
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
    """Another name for ScatterElements."""
    old.node.op_type = "ScatterElements"


# ------------------------------------------------------------------------------------------------------------ resizing


def _resize(old: Old) -> None:
    """Resize of opset 10, and Upsample: `x_old = x_new / scale`.

    The nearest is the one at or before that position along an axis that grows, and the one at or after it along one
    that shrinks: a Resize for each kind, and both where only a run tells the scales.
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
"""By operator: the opset from which on it is as it is in opset 21, and how an older one is written."""
