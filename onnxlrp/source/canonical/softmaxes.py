"""A softmax that is written out is one: `e / Σe` or `e · 1/Σe`, with `e = exp(x − max x)` or `exp x`, as jax writes it.

Step by step the largest score would get nothing, since `x − max x` is 0 there.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.operators.quantised import OWN
from onnxlrp.source.canonical.common import Rewriter
from onnxlrp.source.canonical.deployed import deploy

_BACK = ("Unsqueeze", "Reshape", "Expand")
"""What puts the axis back that a reduction takes away."""


def rewrite(rewriter: Rewriter) -> None:
    """Put a Softmax in the place of each."""
    for node in rewriter.nodes("Div", "Mul"):
        first, second = node.inputs
        pairs = [(first, second)] if node.op_type == "Div" else [(first, second), (second, first)]
        for above, below in pairs:
            if node.op_type == "Mul":
                below = _operand(_made(below, "Reciprocal"))
            found = None if above is None or below is None else _softmax(above, below)
            if found is not None and not rewriter.is_constant(node.outputs[0]):
                x, axis = found
                made = rewriter.op.Softmax(x, axis=axis)
                if (maker := made.producer()) is not None:
                    maker.name = node.name
                if OWN in node.metadata_props:
                    # The outputs of a quantised model keep their bits: its own nodes stay.
                    deploy(rewriter, [node], [made])
                else:
                    rewriter.replace(node.outputs[0], made, "a softmax that was written out")
                break


def _softmax(above: ir.Value, below: ir.Value) -> tuple[ir.Value, int] | None:
    """The scores and the axis. Whatever is the same along that axis may be taken off: the softmax stays what it is."""
    axis, exp = _summed(below, above), _made(above, "Exp")
    if axis is None or exp is None:
        return None
    less = _made(exp.inputs[0], "Sub")
    if less is not None and less.inputs[0] is not None and less.inputs[1] is not None:
        x = less.inputs[0]
        if _as_large(x, above) and _same_along(less.inputs[1], axis, len(above.shape or ())):
            return x, axis
    return (exp.inputs[0], axis) if exp.inputs[0] is not None else None


def _summed(value: ir.Value, of: ir.Value) -> int | None:
    """The one axis along which a value is summed, if the sums stand along the others as the value does."""
    rank, node = len(of.shape or ()), value.producer()
    back = value
    while node is not None and node.op_type in _BACK and node.inputs[0] is not None:
        back = node.inputs[0]
        node = back.producer()
    if node is None or node.op_type != "ReduceSum" or node.inputs[0] is not of:
        return None
    given = node.inputs[1] if len(node.inputs) > 1 else None
    axes = None if given is None or given.const_value is None else given.const_value.numpy().reshape(-1).tolist()
    if axes is None or len(axes) != 1 or rank == 0:
        return None
    axis = int(axes[0]) % rank
    return axis if _same_along(value, axis, rank) else None


def _same_along(value: ir.Value, axis: int, rank: int) -> bool:
    """Whether what broadcasts over values of a rank has one number along an axis, perhaps copied."""
    node = value.producer()
    if node is not None and node.op_type == "Expand" and node.inputs[0] is not None:
        value = node.inputs[0]
    return value.shape is not None and len(value.shape) == rank and value.shape[axis] == 1


def _as_large(value: ir.Value, of: ir.Value) -> bool:
    """Whether nothing of what broadcasts to another is copied."""
    if value.shape is None or of.shape is None or len(value.shape) != len(of.shape):
        return False
    return all(d != 1 or n == 1 for d, n in zip(value.shape, of.shape, strict=True))


def _made(value: ir.Value | None, op_type: str) -> ir.Node | None:
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type == op_type and node.domain == "" else None


def _operand(node: ir.Node | None) -> ir.Value | None:
    return None if node is None else node.inputs[0]
