"""Recognition of squared distances that are multiplied out: `‖x‖² − 2·x·uᵀ + ‖u‖²`, in any order and grouping.

The node is recognised by its values: a sum of squares and of products with constants is a polynomial of degree two in
x, and the rows u follow from the values at x = ±1 along each feature.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.values_inside import value_inside
from onnxlrp.errors import InputError
from onnxlrp.graph.call import content
from onnxlrp.graph.walks import upstream

_ENDS = frozenset({"Add", "Sub", "Sum", "MatMul", "Gemm"})
_INSIDE = _ENDS | {"Mul", "Div", "Neg", "Pow", "ReduceSum", "ReduceSumSquare", "Concat", "Cast", "Identity"}
_FAR = 16
"""Largest number of nodes of the sum that are looked at."""
_CLOSE = 1e-4
"""Largest difference of a value from the distance that it should be, as a fraction of the largest distance, because
constants may be float32."""


def expanded_distance(node: ir.Node, data: Collection[ir.Value]) -> tuple[ir.Value, np.ndarray] | None:
    """Return the data [N, F] and rows [R, F] whose squared distances [N, R] a node computes; None for other nodes."""
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
    """Yield a node and the arithmetic nodes upstream of it, the nearest first, at most `_FAR`."""

    def inside(current: ir.Node) -> Iterator[ir.Value]:
        for value in current.inputs:
            made = value.producer() if value is not None and value in data else None
            if value is not None and made is not None and made.graph is node.graph and made.op_type in _INSIDE:
                yield value

    return itertools.islice(upstream(node.outputs, inside), _FAR)


def _squared(node: ir.Node) -> ir.Value | None:
    """Return the value that a node squares; None where it does not square."""
    if node.domain != "":
        return None
    exponent = content(node.inputs[1]) if node.op_type == "Pow" else None
    power = exponent is not None and exponent.size == 1 and float(exponent.reshape(-1)[0]) == 2
    twice = node.op_type == "Mul" and node.inputs[0] is node.inputs[1]
    return node.inputs[0] if power or twice or node.op_type == "ReduceSumSquare" else None


def _rows(value: ir.Value, x: ir.Value, width: int) -> np.ndarray | None:
    """Compute the rows u of a value that is `‖x − u‖²`; None where it is not.

    A cheap test comes first: for any d, `V(2d) + V(−2d) − V(d) − V(−d)` of such a value V is 6·‖d‖².
    """
    some = np.random.default_rng(0).normal(size=(3, width))
    d = some[:1]
    values = _values(value, x, np.concatenate([2 * d, -2 * d, d, -d]))
    if values is None or not _near(
        values[0] + values[1] - values[2] - values[3], np.full(values.shape[1], 6 * (d**2).sum())
    ):
        return None
    unit = np.eye(width)
    values = _values(value, x, np.concatenate([unit, -unit, some]))
    if values is None:
        return None
    rows = (values[width : 2 * width] - values[:width]).T / 4
    return rows if _near(values[2 * width :], ((some[:, None] - rows) ** 2).sum(-1)) else None


def _values(value: ir.Value, x: ir.Value, points: np.ndarray) -> np.ndarray | None:
    """Evaluate a value at points of x, as [points, rows] in float64; None where it depends on more than x."""
    try:
        with np.errstate(all="ignore"):
            values = value_inside(value, {x: points.astype((x.dtype or ir.DataType.FLOAT).numpy())})
    except InputError:
        return None
    fits = values.ndim == 2 and len(values) == len(points) and np.isfinite(values).all()
    return values.astype(np.float64) if fits else None


def _near(values: np.ndarray, expected: np.ndarray) -> bool:
    return bool(np.allclose(values, expected, rtol=0, atol=_CLOSE * max(1.0, np.abs(expected).max(initial=0))))
