"""Recognition of integers and truth values that are token masks or positions rather than features; these carry no
relevance."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from onnxlrp.graph.provenance import is_replaced
from onnxlrp.graph.walks import ends_downstream
from onnxlrp.operators.registry import Kind, find

_WIDE = frozenset({ir.DataType.INT32, ir.DataType.INT64, ir.DataType.UINT32, ir.DataType.UINT64})
_MASKS = _WIDE | {ir.DataType.BOOL}
_WAVES = frozenset({"Sin", "Cos"})


def becomes_float(node: ir.Node) -> bool:
    """Decide whether a node casts truth values, or integers of 32 or 64 bits, to floats."""
    source, out = node.inputs[0] if node.inputs else None, node.outputs[0] if node.outputs else None
    if node.op_type != "Cast" or source is None or out is None or out.dtype is None:
        return False
    return source.dtype in _MASKS and out.dtype.is_floating_point()


def is_position(node: ir.Node, data: Collection[ir.Value]) -> bool:
    """Decide whether a node computes positions, as the product `cumsum(mask)·mask` does: it multiplies integers of 32
    or 64 bits, and one of its operands is computed but is not data."""
    if node.op_type != "Mul" or node.domain != "" or node.outputs[0].dtype not in _WIDE:
        return False
    return any(v is not None and v not in data and v.const_value is None for v in node.inputs)


def is_mask(cast: ir.Node, data: Collection[ir.Value]) -> bool:
    """Decide whether integers that `cast` converts to floats are a mask or positions, not features.

    A mask may be scaled, shifted, routed and summed; it meets other data only in elementwise nodes, products and Where.
    Positions may also be mixed by a constant matrix if every path then leads to a sine or cosine. Integers are features
    if they reach an output, an operator with its own rule, or, once mixed, other data. `data` holds the values that are
    data even if these integers are not.
    """
    seen: set[tuple[ir.Value, bool]] = set()
    waiting = [(cast.outputs[0], False)]
    while waiting:
        value, mixed = waiting.pop()
        if (value, mixed) in seen:
            continue
        seen.add((value, mixed))
        if value.is_graph_output():
            return False
        for node in value.consumers():
            if is_replaced(node):
                continue
            entry = find(node)
            if entry is None or (entry.kind is Kind.CUSTOM and not entry.rounding):
                return False
            layer = entry.layer is not None
            met = any(v is not value and v in data for v in node.inputs if v is not None)
            if entry.kind is Kind.STOP or node.op_type in _WAVES:
                continue
            if met and not mixed and (entry.elementwise or layer or node.op_type == "Where"):
                continue
            if met and (mixed or entry.kind is not Kind.ROUTING):
                return False
            waiting += [(v, mixed or layer) for v in node.outputs]
    # Integers that were mixed and met no data have reached a sine or cosine, or a stop, on every path.
    return True


def is_rotation(node: ir.Node) -> bool:
    """Decide whether a lookup reads one of a pair of tables of cosines and sines that rotate the channels of other
    values: the same positions look up both, and both are used only in products that are added up."""
    if not _is_lookup(node) or node.inputs[1] is None:
        return False
    pair = [n for n in node.inputs[1].consumers() if _is_lookup(n) and _only_scales(n.outputs[0])]
    return node in pair and len({n.inputs[0] for n in pair}) > 1


def _is_lookup(node: ir.Node) -> bool:
    entry, table = find(node), node.inputs[0] if node.inputs else None
    return entry is not None and entry.lookup and table is not None and table.const_value is not None


def _only_scales(value: ir.Value) -> bool:
    """Decide whether every path downstream of a value ends in a product with a computed value that is then added to
    another."""
    ends = ends_downstream(value, _rescales)
    return ends is not None and all(_turns(node, read) for node, read in ends)


def _rescales(node: ir.Node, value: ir.Value) -> bool:
    entry = find(node)
    scales = entry is not None and (entry.moves or entry.scales or node.op_type == "Cast")
    return scales and not _multiplies(node, value)


def _multiplies(node: ir.Node, value: ir.Value) -> bool:
    """Decide whether a node multiplies a value by another that is no constant."""
    others = (v for v in node.inputs if v is not value and v is not None)
    return node.op_type == "Mul" and any(v.const_value is None for v in others)


def _turns(node: ir.Node, value: ir.Value) -> bool:
    """Decide whether a node multiplies a value by what is no constant, and its product is added to something."""
    readers = (n for v in node.outputs for n in v.consumers())
    return _multiplies(node, value) and all(n.op_type in ("Add", "Sub", "Concat") for n in readers)
