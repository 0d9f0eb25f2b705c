"""Recognition of kernels that are written out: elementwise functions of distances between data and constant rows.

*Distances* have three spellings: the differences of all pairs of rows, squared and summed (or their norms); a Scan
over the constant rows that sums the squares of data minus a row, and a Transpose of its output; or the multiplied-out
form. A *kernel* is any chain of exponentials, roots, powers, sums and products with constants that reads distances.
An RBF, a Matérn and a rational quadratic kernel, their sums and their products thus each become one step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.expanded_distances import expanded_distance
from onnxlrp.graph.call import content
from onnxlrp.graph.walks import follow_operators, made_by
from onnxlrp.operators.control_flow import bodies
from onnxlrp.operators.rescaled_kernels import Distance, Kernel, has_quotient

_LARGEST = float(np.finfo(np.float32).max)
"""Upper bound that a Clip of an old opset has by default."""
_SMALL = 1e-3
"""Largest lower bound of squared distances that counts as a mere guard, because rounding can make them negative."""


def find_kernels(
    nodes: Iterable[ir.Node], data: Collection[ir.Value], constant: Collection[ir.Value]
) -> dict[ir.Node, Kernel]:
    """Return every node that ends a kernel, with its kernel; `nodes` are in topological order."""
    distances: dict[ir.Value, Distance] = {}
    steps: dict[ir.Value, ir.Node] = {}
    curved: set[ir.Value] = set()
    kernels: dict[ir.Node, Kernel] = {}
    for node in nodes:
        distance = _clamped(node, distances) or _distance(node, data, constant)
        if distance is not None:
            distances[distance.value] = distance
            continue
        operands = [i for i, v in enumerate(node.inputs) if v in data]
        values = [v for i in operands if (v := node.inputs[i]) is not None]
        if not values or not has_quotient(node, operands) or not all(v in distances or v in steps for v in values):
            continue
        end = node.outputs[0]
        steps[end] = node
        if any(v in curved for v in values) or _falls(node, operands):
            curved.add(end)
            kernels[node] = _kernel(end, distances, steps)
    return kernels


def _falls(node: ir.Node, operands: Collection[int]) -> bool:
    """Decide whether a node turns distances into a kernel: it is Exp, a quotient with data in the denominator, or a
    negative power."""
    if node.op_type == "Pow":
        exponent = content(node.inputs[1])
        return exponent is not None and float(exponent.reshape(-1)[0]) < 0
    return node.op_type in ("Exp", "Reciprocal") or (node.op_type == "Div" and 1 in operands)


def _kernel(end: ir.Value, distances: dict[ir.Value, Distance], steps: dict[ir.Value, ir.Node]) -> Kernel:
    ends: dict[ir.Value, None] = {}
    nodes: dict[ir.Node, None] = {}
    waiting = [end]
    while waiting:
        value = waiting.pop()
        if value in distances:
            ends[value] = None
        elif value in steps and steps[value] not in nodes:
            nodes[steps[value]] = None
            waiting += [v for v in steps[value].inputs if v is not None]
    # `steps` is in topological order.
    ordered = tuple(n for n in steps.values() if n in nodes)
    return Kernel(end, tuple(distances[v] for v in ends), ordered)


# ------------------------------------------------------------------------------------------------ distances


def _distance(node: ir.Node, data: Collection[ir.Value], constant: Collection[ir.Value]) -> Distance | None:
    if node.domain != "":
        return None
    if node.op_type == "Transpose":
        scan = None if node.inputs[0] is None else node.inputs[0].producer()
        swaps = node.attributes.get("perm") is None or list(node.attributes["perm"].as_ints()) == [1, 0]
        pair = None if scan is None or not swaps or node.inputs[0] is scan.outputs[0] else _scanned(scan)
    else:
        pair = _all_pairs(node)
    if pair is None:
        expanded = expanded_distance(node, data) if node.outputs[0] in data else None
        return None if expanded is None else Distance(node.outputs[0], *expanded)
    x, rows = pair
    root = node.op_type == "ReduceL2"
    if x not in data or rows not in constant or x.shape is None or len(x.shape) != 2 or rows.shape is None:
        return None
    return Distance(node.outputs[0], x, rows, root)


def _clamped(node: ir.Node, distances: Mapping[ir.Value, Distance]) -> Distance | None:
    """Return the distance that a node bounds below by 0 or a small number, as a guard against rounding; else None."""
    if node.domain != "" or node.op_type not in ("Max", "Clip", "Relu") or node.inputs[0] is None:
        return None
    known, bounds = distances.get(node.inputs[0]), node.inputs[1:]
    if (
        node.op_type == "Clip"
        and len(bounds) == 2
        and (top := content(bounds[1])) is not None
        and float(top.reshape(-1)[0]) >= _LARGEST
    ):
        bounds = bounds[:1]
    if known is None or len(bounds) > 1 or (node.op_type == "Clip" and not bounds):
        return None
    limits = [content(v) for v in bounds]
    if not all(b is not None and b.size == 1 and 0 <= float(b.reshape(-1)[0]) <= _SMALL for b in limits):
        return None
    return dataclasses.replace(known, value=node.outputs[0])


def _scanned(node: ir.Node) -> tuple[ir.Value, ir.Value] | None:
    """Return the state and the rows of a Scan that stacks `Σ (state − row)²` of a constant state; else None."""
    if node.op_type != "Scan" or len(node.inputs) != 2 or len(node.outputs) != 2:
        return None
    (body,) = bodies(node)
    if len(body.states) != 1 or len(body.slices) != 1 or len(body.stacked) != 1 or _reordered(node):
        return None
    (state, after, _, _), (row, _) = body.states[0], body.slices[0]
    summed = _itself(body.stacked[0][0]).producer()
    difference = None if summed is None or summed.op_type == "ReduceL2" else _squares_summed(summed)
    parts = None if difference is None else {_itself(v) for v in difference.inputs if v is not None}
    if difference is None or difference.op_type != "Sub" or _itself(after) is not state or parts != {state, row}:
        return None
    x, rows = node.inputs
    return None if x is None or rows is None else (x, rows)


def _reordered(node: ir.Node) -> bool:
    """Decide whether a Scan runs backwards, or along another axis than the first."""
    names = ("scan_input_axes", "scan_output_axes", "scan_input_directions", "scan_output_directions")
    return any(any(node.attributes[n].as_ints()) for n in names if n in node.attributes)


def _itself(value: ir.Value) -> ir.Value:
    """Follow a value upstream through Identity nodes."""
    return follow_operators(value, ("Identity",))


def _all_pairs(node: ir.Node) -> tuple[ir.Value, ir.Value] | None:
    """Return x and the rows of `Σ (x[:, None] − rows[None])²` over the last axis; None for other nodes."""
    difference = _squares_summed(node)
    if difference is None or difference.op_type != "Sub" or len(difference.inputs) != 2:
        return None
    first, second = difference.inputs
    for one, other in ((first, second), (second, first)):
        x, rows = _beside_rows(one), _rows(other)
        if x is not None and rows is not None:
            return x, rows
    return None


def _beside_rows(value: ir.Value | None) -> ir.Value | None:
    """Return the value [N, F] that an Unsqueeze turns into [N, 1, F]; None for other values."""
    node = made_by(value, "Unsqueeze")
    axes = None if node is None else content(node.inputs[1])
    source = None if node is None else node.inputs[0]
    if axes is None or source is None or source.shape is None or len(source.shape) != 2:
        return None
    return source if [int(a) % 3 for a in axes.reshape(-1)] == [1] else None


def _rows(value: ir.Value | None) -> ir.Value | None:
    """Return a value of shape [R, F] or [1, R, F], which broadcasts over samples; None for other values."""
    shape = None if value is None else value.shape
    fits = shape is not None and (len(shape) == 2 or (len(shape) == 3 and shape[0] == 1))
    return value if fits else None


def _squares_summed(node: ir.Node | None) -> ir.Node | None:
    """Return the node whose output `node` squares and sums over the last axis, which the sum removes; None for other
    nodes."""
    if node is None or node.op_type not in ("ReduceSumSquare", "ReduceL2", "ReduceSum") or node.inputs[0] is None:
        return None
    if not _over_last(node):
        return None
    summed = node.inputs[0].producer()
    return summed if node.op_type != "ReduceSum" or summed is None else _squared(summed)


def _over_last(node: ir.Node) -> bool:
    source, keeps = node.inputs[0], node.attributes.get("keepdims")
    axes = content(node.inputs[1]) if len(node.inputs) > 1 else None
    if source is None or source.shape is None or axes is None or keeps is None or keeps.as_int():
        return False
    rank = len(source.shape)
    return [int(a) % rank for a in axes.reshape(-1)] == [rank - 1]


def _squared(node: ir.Node) -> ir.Node | None:
    """Return the node that computes v, given the node of `v·v` or `v²`; None for other nodes."""
    first = node.inputs[0]
    if first is None:
        return None
    power = content(node.inputs[1]) if node.op_type == "Pow" else None
    is_power = power is not None and power.size == 1 and float(power.reshape(-1)[0]) == 2
    twice = node.op_type == "Mul" and first is node.inputs[1]
    return first.producer() if is_power or twice else None
