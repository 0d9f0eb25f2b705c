"""Layer normalisation written out is one operator.

`d = x − mean(x)`, `n = d / √(mean(d²) + ε)` over the last axes, then `γ·n + β` where they follow: LayerNormalization.
The mean is taken once; squares are `d²` or `d·d`, and the quotient may be a product with a reciprocal or a power.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxlrp.operators.registry import Call, content
from onnxlrp.source.canonical.common import Rewriter


def rewrite(rewriter: Rewriter) -> None:
    """Put LayerNormalization in the place of every such chain."""
    for node in rewriter.nodes("Div", "Mul"):
        if node.graph is None:
            continue
        found = _normalised(node)
        if found is not None:
            _fuse(rewriter, node, *found)


def _by(value: ir.Value | None, *op_types: str) -> ir.Node | None:
    """The node that makes a value, if it is one of these operators."""
    node = None if value is None else value.producer()
    return node if node is not None and node.domain == "" and node.op_type in op_types else None


def _number(value: ir.Value | None) -> float | None:
    known = content(value)
    return float(known.reshape(-1)[0]) if known is not None and known.size == 1 else None


def _mean(value: ir.Value | None) -> tuple[ir.Value, tuple[int, ...]] | None:
    """What a value is the mean of, and over which axes, counted from the end; kept as ones, and the last ones."""
    node = _by(value, "ReduceMean")
    source = None if node is None else node.inputs[0]
    if node is None or source is None or source.shape is None or not Call.of(node).attr("keepdims", 1):
        return None
    given = content(node.inputs[1]) if len(node.inputs) > 1 else None
    if given is None:
        return None
    rank = len(source.shape)
    axes = tuple(sorted(int(a) - rank if a >= 0 else int(a) for a in given.reshape(-1)))
    return (source, axes) if axes and axes == tuple(range(-len(axes), 0)) else None


def _normalised(node: ir.Node) -> tuple[ir.Value, int, float] | None:
    """(x, number of axes, ε) of the quotient that a chain ends in, before its scale and shift."""
    for deviation, other in _quotients(node):
        sub = _by(deviation, "Sub")
        mean = None if sub is None else _mean(sub.inputs[1])
        if sub is None or mean is None or sub.inputs[0] is not mean[0]:
            continue
        add = _by(other, "Add")
        numbers = [] if add is None else [_number(v) for v in add.inputs]
        if add is None or (numbers[0] is None) == (numbers[1] is None):
            continue
        square = _mean(add.inputs[0] if numbers[0] is None else add.inputs[1])
        if square is None or square[1] != mean[1] or not _squares(square[0], deviation):
            continue
        return mean[0], len(mean[1]), next(n for n in numbers if n is not None)
    return None


def _quotients(node: ir.Node) -> list[tuple[ir.Value | None, ir.Value | None]]:
    """(d, v + ε) for `d / √(v + ε)`, `d · 1/√(v + ε)` and `d · (v + ε)^−½`."""
    a, b = node.inputs[0], node.inputs[1]
    if node.op_type == "Div":
        root = _by(b, "Sqrt")
        return [] if root is None else [(a, root.inputs[0])]
    found = []
    for deviation, factor in ((a, b), (b, a)):
        over, power = _by(factor, "Reciprocal", "Div"), _by(factor, "Pow")
        if over is not None and (over.op_type == "Reciprocal" or _number(over.inputs[0]) == 1):
            root = _by(over.inputs[-1], "Sqrt")
            found += [] if root is None else [(deviation, root.inputs[0])]
        if power is not None and _number(power.inputs[1]) == -0.5:
            found.append((deviation, power.inputs[0]))
    return found


def _squares(value: ir.Value, of: ir.Value | None) -> bool:
    node = _by(value, "Pow", "Mul")
    if node is None or node.inputs[0] is not of:
        return False
    return node.inputs[1] is of if node.op_type == "Mul" else _number(node.inputs[1]) == 2


def _parameter(rewriter: Rewriter, value: ir.Value, op_type: str, dims: list[int]) -> tuple[ir.Node, ir.Value] | None:
    """The sole consumer that multiplies by, or adds, a constant over the normalised axes."""
    node = rewriter.sole_consumer(value)
    if node is None or node.domain != "" or node.op_type != op_type:
        return None
    other = node.inputs[1] if node.inputs[0] is value else node.inputs[0]
    if other is None or other is value or not rewriter.is_constant(other) or other.shape is None:
        return None
    shape = list(other.shape)
    while len(shape) > len(dims) and shape[0] == 1:
        del shape[0]
    return (node, other) if shape == dims else None


def _fuse(rewriter: Rewriter, node: ir.Node, x: ir.Value, count: int, epsilon: float) -> None:
    op = rewriter.op
    dims = [d if isinstance(d, int) else None for d in list(x.shape or ())[-count:]]
    if None in dims or x.dtype is None:
        return
    sizes = [int(d or 0) for d in dims]
    last = node
    scale = rewriter.made(op.constant(np.ones(sizes), x.dtype))
    shift = None
    if (found := _parameter(rewriter, last.outputs[0], "Mul", sizes)) is not None:
        last, scale = found[0], rewriter.made(op.Reshape(found[1], op.ints(sizes)))
    if (found := _parameter(rewriter, last.outputs[0], "Add", sizes)) is not None:
        last, shift = found[0], rewriter.made(op.Reshape(found[1], op.ints(sizes)))
    out = op.LayerNormalization(x, scale, shift, axis=-count, epsilon=epsilon)
    rewriter.replace(last.outputs[0], out, f"the layer norm {last.name!r}")
