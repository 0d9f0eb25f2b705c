"""Fold sizes that are known although others of the same tensor are open: `Shape([N, T, 768])[2] = 768`, and reshape to
`[N, T, 12, 64]` as to `[0, 0, 12, 64]`, where 0 keeps a size of the operand.

The library's folding needs all sizes of a shape. Exporters compute the width of a head, and its root, from sizes that
stand beside an open batch.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call, content

_Sizes = np.ndarray
"""Sizes as numbers, names of open sizes, or None where nothing is known; an array of objects."""
_LONGEST = 16
"""Most sizes that a vector may hold; no tensor has as many axes."""


def fold_sizes(model: ir.Model) -> bool:
    """Replace known sizes by constants in the graph and its bodies; returns whether there were any."""
    folded = [_fold(graph) for graph in (model.graph, *model.graph.subgraphs())]
    return any(folded)


def _fold(graph: ir.Graph) -> bool:
    sizes: dict[ir.Value, _Sizes] = {}
    folded = False
    for node in list(graph):
        out = node.outputs[0]
        if node.op_type == "Reshape" and node.domain == "" and not node.attributes.get_int("allowzero", 0):
            folded |= _keep_open_sizes(graph, node, sizes)
            continue
        read = _READ.get(node.op_type) if node.domain == "" and len(node.outputs) == 1 else None
        found = None if read is None else read(Call.of(node), [_known(v, sizes) for v in node.inputs])
        if found is None or found.size > _LONGEST:
            continue
        sizes[out] = found
        if all(isinstance(size, int) for size in found.flat) and out.uses() and not out.is_graph_output():
            ir.convenience.replace_all_uses_with(out, _constant(graph, out, found))
            folded = True
    return folded


def _keep_open_sizes(graph: ir.Graph, node: ir.Node, sizes: Mapping[ir.Value, _Sizes]) -> bool:
    """Let a Reshape to sizes that are known, or those of the operand's own axes, read a constant."""
    (x, shape), wanted = node.inputs[:2], sizes.get(node.inputs[1]) if node.inputs[1] is not None else None
    if x is None or shape is None or x.shape is None or wanted is None:
        return False
    own = [*_named(x.shape), *[None] * wanted.size]
    pairs = zip(wanted, own, strict=False)
    kept = [0 if isinstance(size, str) and size == there else size for size, there in pairs]
    if not all(isinstance(size, int) for size in kept) or (wanted == 0).any():
        return False
    node.replace_input_with(1, _constant(graph, shape, np.array(kept)))
    return True


def _constant(graph: ir.Graph, value: ir.Value, numbers: np.ndarray) -> ir.Value:
    """Register a constant in the place of a value."""
    name = f"{value.name}_known"
    while name in graph.initializers:
        name += "_1"
    tensor, shape = ir.tensor(numbers.astype(np.int64), name=name), ir.Shape(numbers.shape)
    constant = ir.Value(name=name, const_value=tensor, type=ir.TensorType(tensor.dtype), shape=shape)
    graph.register_initializer(constant)
    return constant


def _known(value: ir.Value | None, sizes: Mapping[ir.Value, _Sizes]) -> _Sizes | None:
    """Look up the sizes that a value holds; None where it holds anything else, or is left out."""
    if value is None or value in sizes:
        return None if value is None else sizes[value]
    known = content(value) if value.const_value is not None and value.const_value.size <= _LONGEST else None
    return known.astype(object) if known is not None and known.dtype == np.int64 else None


def _named(shape: ir.Shape) -> list[int | str | None]:
    return [size if isinstance(size, int) else size.value for size in shape]


# ------------------------------------------------------------------------------------------------------ one operator

_Operands = list[_Sizes | None]


def _shape(call: Call, operands: _Operands) -> _Sizes | None:
    x = call.operand(0)
    if x.shape is None:
        return None
    sizes = np.empty(len(x.shape), object)
    sizes[:] = _named(x.shape)
    return sizes[call.attr("start", 0) : call.attr("end", len(sizes))]


def _gather(call: Call, operands: _Operands) -> _Sizes | None:
    x, places = operands
    if x is None or places is None or x.ndim != 1 or not all(-x.size <= place < x.size for place in places.flat):
        return None
    return np.asarray(x[places.astype(np.int64)], object)


def _slice(call: Call, operands: _Operands) -> _Sizes | None:
    x, starts, ends, axes, steps = (*operands, None, None)[:5]
    if x is None or starts is None or ends is None or x.ndim != 1 or starts.size != 1:
        return None
    if any(call.input(i) is not None and operands[i] is None for i in range(3, len(operands))):
        return None
    if (axes is not None and axes.item() not in (0, -1)) or (steps is not None and steps.item() != 1):
        return None
    return x[starts.item() : ends.item()] if all(isinstance(v.item(), int) for v in (starts, ends)) else None


def _concat(call: Call, operands: _Operands) -> _Sizes | None:
    parts = [part for part in operands if part is not None and part.ndim == 1]
    return np.concatenate(parts) if len(parts) == len(operands) else None


def _squeeze(call: Call, operands: _Operands) -> _Sizes | None:
    x, axes = (*operands, None)[:2]
    return (
        x.reshape(())
        if x is not None and x.size == x.ndim == 1 and (call.input(1) is None or axes is not None)
        else None
    )


def _unsqueeze(call: Call, operands: _Operands) -> _Sizes | None:
    x, axes = operands
    return x.reshape(1) if x is not None and x.ndim == 0 and axes is not None and axes.size == 1 else None


def _same(call: Call, operands: _Operands) -> _Sizes | None:
    return operands[0] if call.attr("to", ir.DataType.INT64) == ir.DataType.INT64 else None


def _arithmetic(compute: Callable[[int, int], int]) -> Callable[[Call, _Operands], _Sizes | None]:
    def one(a: object, b: object) -> int | None:
        return compute(a, b) if isinstance(a, int) and isinstance(b, int) and min(a, b) >= 0 else None

    def read(call: Call, operands: _Operands) -> _Sizes | None:
        a, b = operands
        return None if a is None or b is None else np.asarray(np.frompyfunc(one, 2, 1)(a, b), object)

    return read


def _quotient(a: int, b: int) -> int | None:
    return a // b if b else None


_READ: Mapping[str, Callable[[Call, _Operands], _Sizes | None]] = {
    "Add": _arithmetic(operator.add),
    "Cast": _same,
    "Concat": _concat,
    "Div": _arithmetic(_quotient),  # type: ignore[arg-type]
    "Gather": _gather,
    "Identity": _same,
    "Mul": _arithmetic(operator.mul),
    "Shape": _shape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": _arithmetic(operator.sub),
    "Unsqueeze": _unsqueeze,
}
"""The function that computes the sizes that a node hands out from those that its operands hold."""
