"""Read a softmax that is written out as one node.

The forms are `e / Σe` or `e · 1/Σe`, with `e = exp(x − max x)` or `exp x`, as jax writes it, and
`exp(x − log Σ exp x)`, as skl2onnx writes naive Bayes; without the outer exp, the last form is a LogSoftmax.

If relevance went through these nodes one by one, the largest score would get none, because `x − max x` is 0 there; and
where one class is certain, `x − log Σ exp x` is 0 too.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

from onnxlrp.graph.misses import attempt, holds, miss
from onnxlrp.graph.provenance import is_own
from onnxlrp.graph.walks import follow_operators, made_by
from onnxlrp.source.canonical.common import Rewriter
from onnxlrp.source.canonical.in_floats import deploy

_BACK = ("Unsqueeze", "Reshape", "Expand")
"""Operators that restore the axis that a reduction removes."""


def rewrite(rewriter: Rewriter) -> None:
    """Put a Softmax or LogSoftmax node in the place of each softmax that is written out."""
    for node in [*rewriter.nodes("Exp"), *rewriter.nodes("Sub"), *rewriter.nodes("Div", "Mul")]:
        kind = "LogSoftmax" if node.op_type == "Sub" else "Softmax"
        found = attempt(f"is not read as a {kind} that is written out", node, _found, rewriter, node)
        if found is not None:
            x, axis = found
            _put(rewriter, node, getattr(rewriter.op, kind)(x, axis=axis))


def _found(rewriter: Rewriter, node: ir.Node) -> tuple[ir.Value, int] | None:
    """Find the scores and the axis of the softmax, or of its logarithm, that ends in `node`."""
    if node.op_type in ("Exp", "Sub"):
        found = _logarithm(node.inputs[0]) if node.op_type == "Exp" else _normalised(node)
    else:
        found = next(filter(None, (_softmax(above, below) for above, below in _quotients(node))), None)
    constant = rewriter.is_constant(node.outputs[0])
    return found if found is not None and holds(not constant, "it depends on no input") else None


def _quotients(node: ir.Node) -> Iterator[tuple[ir.Value, ir.Value]]:
    """Yield numerator and denominator of a quotient, or of a product with a reciprocal."""
    first, second = node.inputs
    if node.op_type == "Div":
        pairs = [(first, second)]
    else:
        pairs = [(a, _operand(made_by(b, "Reciprocal"))) for a, b in ((first, second), (second, first))]
    yield from ((above, below) for above, below in pairs if above is not None and below is not None)


def _put(rewriter: Rewriter, node: ir.Node, made: ir.Value) -> None:
    """Put the Softmax or LogSoftmax in the place of the last node that was written out for it."""
    if (maker := made.producer()) is not None:
        maker.name = node.name
    if is_own(node):
        # The outputs of a quantised model keep their bits: its own nodes stay.
        deploy(rewriter, [node], [made])
    else:
        rewriter.replace(node.outputs[0], made, "a softmax that was written out")


def _logarithm(value: ir.Value | None) -> tuple[ir.Value, int] | None:
    """Find the scores and the axis of the logarithm of a softmax, which is one node or written out."""
    node = None if value is None else value.producer()
    if node is not None and node.op_type == "LogSoftmax" and node.domain == "" and node.inputs[0] is not None:
        axis = node.attributes.get("axis")
        return node.inputs[0], -1 if axis is None else axis.as_int()
    if node is None or node.op_type != "Sub":
        return miss("it is the exponential of no LogSoftmax and of no difference")
    return _normalised(node)


def _normalised(less: ir.Node) -> tuple[ir.Value, int] | None:
    """Find the scores and the axis of `x − log Σ exp x`."""
    x, below = less.inputs
    node = None if below is None else _reduced(below)
    if x is None or below is None or node is None or not _as_large(x, less.outputs[0]):
        return miss("no node computes the value that is subtracted, or it broadcasts the scores")
    inside = node.inputs[0]
    if node.op_type == "Log" and inside is not None and (sums := _reduced(inside)) is not None:
        exp = made_by(sums.inputs[0], "Exp")
        node, inside = sums, None if exp is None or sums.op_type != "ReduceSum" else exp.inputs[0]
    elif node.op_type != "ReduceLogSumExp":
        return miss("the value that is subtracted is no logarithm of a sum of exponentials")
    axis = _axis(node, below, x) if holds(inside is x, "the exponentials are of other scores") else None
    return None if axis is None else (_whole(x, axis), axis)


def _softmax(above: ir.Value, below: ir.Value) -> tuple[ir.Value, int] | None:
    """Find the scores and the axis of the softmax `above / below`."""
    node, exp = _reduced(below), made_by(above, "Exp")
    if node is None or node.op_type != "ReduceSum" or node.inputs[0] is not above:
        return miss(f"the denominator is no sum of {above.name!r}")
    axis = _axis(node, below, above)
    if exp is None or exp.inputs[0] is None:
        return miss(f"{above.name!r} is no exponential")
    if axis is None:
        return None
    return _whole(exp.inputs[0], axis), axis


def _whole(x: ir.Value, axis: int) -> ir.Value:
    """Return `a` where `x` is `a − m` with m constant along the axis, as in `x − max x`, because the softmax of both is
    equal; else return `x` itself."""
    less = made_by(x, "Sub")
    if less is None or less.inputs[0] is None or less.inputs[1] is None:
        return x
    alike = _as_large(less.inputs[0], x) and _same_along(less.inputs[1], axis, len(x.shape or ()))
    return less.inputs[0] if alike else x


def _reduced(value: ir.Value) -> ir.Node | None:
    """Find the node that computes a value, upstream of nodes that only restore an axis."""
    return follow_operators(value, _BACK).producer()


def _axis(node: ir.Node, value: ir.Value, of: ir.Value) -> int | None:
    """Return the axis along which `node` reduces, if it is the only one; None unless `value`, which the node computes,
    has size 1 along that axis and the rank of `of`."""
    rank = len(of.shape or ())
    given = node.inputs[1] if len(node.inputs) > 1 else None
    axes = None if given is None or given.const_value is None else given.const_value.numpy().reshape(-1).tolist()
    if axes is None or len(axes) != 1 or rank == 0:
        return miss(f"{node.op_type} {node.name!r} does not sum along one axis that is known")
    axis = int(axes[0]) % rank
    alike = holds(_same_along(value, axis, rank), f"{value.name!r} varies along axis {axis} or has another rank")
    return axis if alike else None


def _same_along(value: ir.Value, axis: int, rank: int) -> bool:
    """Decide whether a value that broadcasts to a rank has one number along an axis, perhaps copied by an Expand."""
    if (node := made_by(value, "Expand")) is not None and node.inputs[0] is not None:
        value = node.inputs[0]
    return value.shape is not None and len(value.shape) == rank and value.shape[axis] == 1


def _as_large(value: ir.Value, of: ir.Value) -> bool:
    """Decide whether a value has the rank of `of` and broadcasts to it without a copy along any axis."""
    if value.shape is None or of.shape is None or len(value.shape) != len(of.shape):
        return False
    return all(d != 1 or n == 1 for d, n in zip(value.shape, of.shape, strict=True))


def _operand(node: ir.Node | None) -> ir.Value | None:
    return None if node is None else node.inputs[0]
