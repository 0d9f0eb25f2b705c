"""Squared distances that are multiplied out: `‖x‖² − 2·x·uᵀ + ‖u‖²`, in whatever order and however it is grouped.

They are recognised by their values: a sum of squares and of products with constants is a polynomial of degree two, and
the rows u follow from its values at x = ±1 along each feature.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.values_inside import value_inside
from onnxlrp.errors import InputError
from onnxlrp.graph.call import content

_ENDS = frozenset({"Add", "Sub", "Sum", "MatMul", "Gemm"})
_INSIDE = _ENDS | {"Mul", "Div", "Neg", "Pow", "ReduceSum", "ReduceSumSquare", "Concat", "Cast", "Identity"}
_FAR = 16
"""Largest number of nodes of a sum of squares and products."""
_CLOSE = 1e-4
"""Largest difference, as a part of the largest value: constants may be float32."""


def expanded_distance(node: ir.Node, data: Collection[ir.Value]) -> tuple[ir.Value, np.ndarray] | None:
    """The data [N, F] and the rows [R, F] whose squared distances a node computes; None where it computes others."""
    shape = node.outputs[0].shape
    if node.op_type not in _ENDS or shape is None or len(shape) != 2:
        return None
    upstream = list(_upstream(node, data))
    squared = {v for n in upstream if (v := _squared(n)) is not None}
    products = any(n.op_type in ("MatMul", "Gemm") for n in upstream)
    if len(squared) != 1 or not products:
        return None
    (x,) = squared
    width = None if x.shape is None or len(x.shape) != 2 else x.shape[1]
    rows = _rows(node.outputs[0], x, width) if isinstance(width, int) else None
    return None if rows is None else (x, rows)


def _upstream(node: ir.Node, data: Collection[ir.Value]) -> Iterator[ir.Node]:
    """A node and a few of those that its data comes from, the nearest first."""
    waiting, seen = [node], {node}
    for _ in range(_FAR):
        if not waiting:
            return
        current = waiting.pop(0)
        yield current
        for value in current.inputs:
            made = value.producer() if value is not None and value in data else None
            if made is not None and made not in seen and made.graph is node.graph and made.op_type in _INSIDE:
                seen.add(made)
                waiting.append(made)


def _squared(node: ir.Node) -> ir.Value | None:
    """Find the value that a node squares; None where it squares none."""
    if node.domain != "":
        return None
    exponent = content(node.inputs[1]) if node.op_type == "Pow" else None
    power = exponent is not None and exponent.size == 1 and float(exponent.reshape(-1)[0]) == 2
    twice = node.op_type == "Mul" and node.inputs[0] is node.inputs[1]
    return node.inputs[0] if power or twice or node.op_type == "ReduceSumSquare" else None


def _rows(value: ir.Value, x: ir.Value, width: int) -> np.ndarray | None:
    """Find the rows u, if a value is `‖x − u‖²`; None where it is not.

    A few points first: along any direction d the polynomial `V(2d) + V(−2d) − V(d) − V(−d)` is 6·‖d‖².
    """
    some = np.random.default_rng(0).normal(size=(3, width))
    d = some[:1]
    found = _values(value, x, np.concatenate([2 * d, -2 * d, d, -d]))
    if found is None or not _near(found[0] + found[1] - found[2] - found[3], np.full(found.shape[1], 6 * (d**2).sum())):
        return None
    unit = np.eye(width)
    found = _values(value, x, np.concatenate([unit, -unit, some]))
    if found is None:
        return None
    rows = (found[width : 2 * width] - found[:width]).T / 4
    return rows if _near(found[2 * width :], ((some[:, None] - rows) ** 2).sum(-1)) else None


def _values(value: ir.Value, x: ir.Value, points: np.ndarray) -> np.ndarray | None:
    """Compute a value at some points, [points, rows] in float64; None where it depends on more than x."""
    try:
        with np.errstate(all="ignore"):
            found = value_inside(value, {x: points.astype((x.dtype or ir.DataType.FLOAT).numpy())})
    except InputError:
        return None
    fits = found.ndim == 2 and len(found) == len(points) and np.isfinite(found).all()
    return found.astype(np.float64) if fits else None


def _near(found: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.allclose(found, expected, rtol=0, atol=_CLOSE * max(1.0, np.abs(expected).max(initial=0))))
