"""Take one row of a sequence early: `f(x)[:, i] = f(x[:, i])` for whatever computes each row from that row alone.

A classifier that reads the class token, or a language model that hands out the scores of the last token, computes its
last block for all tokens and drops all rows but one. Taken early, the row costs a share of the products, forward and
backward. Products of few rows are rounded in another order, so graphs with quantised activations, whose outputs must
stay equal to the bit, are left alone.
"""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Collection

import onnx_ir as ir

from onnxlrp.graph.call import Call, content
from onnxlrp.graph.misses import attempt, miss
from onnxlrp.graph.provenance import is_own, is_replaced
from onnxlrp.graph.readers import redirect
from onnxlrp.operators.registry import find
from onnxlrp.source.canonical.common import Rewriter

_FLOATS = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE})
_NORMS = frozenset({"LayerNormalization", "RMSNormalization"})
"""Operators over all axes from `axis` on."""
_ALONG_AXIS = frozenset({"Softmax", "LogSoftmax"})
_REDUCTIONS = frozenset({"ReduceMean", "ReduceSum"})

_Axes = dict[ir.Value, int]
"""The axis that the rows lie along, by value."""


def rewrite(rewriter: Rewriter, kept: Collection[str] = ()) -> None:
    """Take rows at one constant place upstream of every product that computes nothing but rows; values whose names are
    in `kept` keep all rows."""
    if any(is_own(node) or is_replaced(node) for node in rewriter.graph):
        return
    for node in reversed(rewriter.nodes("Gather")):
        attempt("is not taken earlier", node, _take_early, rewriter, node, kept)


def _take_early(rewriter: Rewriter, gather: ir.Node, kept: Collection[str]) -> bool | None:
    (x, index), axis = gather.inputs, gather.attributes.get_int("axis", 0)
    place = content(index)
    if x is None or x.shape is None or x.dtype not in _FLOATS or place is None or place.size != 1 or place.ndim > 1:
        return miss("it takes no floating-point row at one constant place")
    axis %= len(x.shape)
    if axis == 0 or x.shape[axis] == 1 or rewriter.is_constant(x):
        return miss("it takes a sample, the only row, or a row of a constant")
    region = _Region(rewriter, gather, kept, {x: axis})
    region.grow()
    if not any(node.op_type in ("MatMul", "Gemm") for node in region.nodes):
        return miss("no product upstream of it is computed for its sake alone")
    region.take(int(place.item()), place.ndim)
    return True


@dataclasses.dataclass
class _Region:
    """The nodes upstream of a Gather that need to compute its row alone."""

    rewriter: Rewriter
    gather: ir.Node
    kept: Collection[str]
    axes: _Axes
    """The values of which the row is read, by nodes of the region or by the Gather."""
    nodes: dict[ir.Node, None] = dataclasses.field(default_factory=dict)

    def grow(self) -> None:
        """Add nodes, from the Gather upstream."""
        order = {node: -place for place, node in enumerate(self.rewriter.graph)}
        waiting = [(order[n], n) for v in self.axes if (n := v.producer()) in order]
        while waiting:
            _, node = heapq.heappop(waiting)
            found = self._operands(node) if node not in self.nodes else None
            if found is None:
                continue
            nodes, operands = found
            self.nodes |= dict.fromkeys(nodes)
            self.axes |= operands
            for value in operands:
                if (producer := value.producer()) in order:
                    heapq.heappush(waiting, (order[producer], producer))

    def take(self, place: int, rank: int) -> None:
        """Put the choice of the row upstream of the region, and let the Gather take the only row that is left."""
        op, computed = self.rewriter.op, {v for node in self.nodes for v in node.outputs}
        for value, axis in self.axes.items():
            if value not in computed:
                row = op.Gather(value, op.ints([place]), axis=axis)
                row.producer().name = f"{value.name}_row"
                if self.rewriter.is_constant(value):
                    self.rewriter.made(row)
                redirect([use for use in value.uses() if use.node in self.nodes], row)
        for value in computed:
            assert value.shape is not None
            axis = self.axes.get(value, 0)
            value.shape = ir.Shape([None if i == axis else d for i, d in enumerate(value.shape)])
        for node in self.nodes:
            if node.op_type == "Reshape":
                self._keep_rows_apart(node)
        self.gather.replace_input_with(1, op.ints([0]) if rank else op.ints_scalar(0))

    def _keep_rows_apart(self, reshape: ir.Node) -> None:
        """Replace a Reshape of [N, T, D] to [N·T, D], or back, for the only row of each sample."""
        op, old, x = self.rewriter.op, reshape.outputs[0], reshape.inputs[0]
        assert x is not None
        new = (op.Unsqueeze if old in self.axes else op.Squeeze)(x, op.ints([1]))
        new.shape, name = old.shape, old.name
        old.name, new.name = f"{name}_of_all", name
        ir.convenience.replace_all_uses_with(old, new)

    # --------------------------------------------------------------------------------------------------- one node

    def _operands(self, node: ir.Node) -> tuple[list[ir.Node], _Axes] | None:
        """List the nodes that compute a node's rows from those of other values, and those values with their axes; None
        if the node has to compute all rows."""
        y = node.outputs[0]
        if node.domain != "" or y.shape is None or len(node.outputs) > 1 or not self._is_row_enough(y):
            return None
        if node.op_type == "Reshape":
            return self._flat(node)
        found = _rows_of(self.rewriter, node, self.axes[y])
        if found is None or any(self.axes.get(v, axis) != axis for v, axis in found.items()):
            return None
        return [node], found

    def _is_row_enough(self, value: ir.Value) -> bool:
        """Decide whether nothing but the region and the Gather reads a value."""
        if value.is_graph_output() or value.name in self.kept:
            return False
        return all(node in self.nodes or node is self.gather or self._is_dropped(node) for node, _ in value.uses())

    def _is_dropped(self, node: ir.Node) -> bool:
        """Decide whether a node only counts, for Reshapes that are replaced."""
        if node.op_type not in ("Shape", "Gather", "Slice", "Squeeze", "Unsqueeze", "Concat", "Cast"):
            return False
        if any(v.is_graph_output() or v.dtype is None or not v.dtype.is_integer() for v in node.outputs):
            return False
        uses = [use for v in node.outputs for use in v.uses()]
        return all((n in self.nodes and n.op_type == "Reshape" and i == 1) or self._is_dropped(n) for n, i in uses)

    def _flat(self, last: ir.Node) -> tuple[list[ir.Node], _Axes] | None:
        """Follow a product of [N·T, D] from the Reshape to [N, T, D′] up to that from [N, T, D]."""
        nodes, y = [last], last.outputs[0]
        while True:
            value = nodes[-1].inputs[0]
            node = None if value is None else value.producer()
            if value is None or node is None or value.shape is None or len(value.shape) != 2 or node.domain != "":
                return None
            read_once = not value.is_graph_output() and value.name not in self.kept and len(value.uses()) == 1
            if not read_once or len(node.outputs) > 1:
                return None
            nodes.append(node)
            if node.op_type == "Reshape":
                x = node.inputs[0]
                return (nodes, {x: 1}) if x is not None and self._flattens(x, value, y, nodes) else None
            found = _rows_of(self.rewriter, node, 0)
            if found is None or list(found) != [node.inputs[0]]:
                return None

    def _flattens(self, x: ir.Value, flat: ir.Value, y: ir.Value, nodes: list[ir.Node]) -> bool:
        """Decide whether rows [N, T, D] of x are computed to rows [N, T, D′] of y with both axes merged in between."""
        assert flat.shape is not None and y.shape is not None
        z = nodes[0].inputs[0]
        if x.shape is None or z is None or z.shape is None or self.axes[y] != 1 or self.axes.get(x, 1) != 1:
            return False
        if len(x.shape) != 3 or len(y.shape) != 3:
            return False
        pairs = [(x.shape[1], y.shape[1]), (x.shape[2], flat.shape[1]), (y.shape[2], z.shape[1])]
        return all(_alike(a, b) for a, b in pairs)


def _rows_of(rewriter: Rewriter, node: ir.Node, axis: int) -> _Axes | None:
    """Map the operands of which a node reads, for one row of its output along `axis`, one row too, to their axes; None
    if it reads more."""
    x, y = node.inputs[0], node.outputs[0]
    assert y.shape is not None
    rank = len(y.shape)
    if x is None or x.shape is None:
        return None
    entry = find(Call.of(node))
    if entry is not None and entry.elementwise:
        return _aligned(node, axis)
    if node.op_type in ("MatMul", "Gemm"):
        turned = node.attributes.get_int("transA", 0)
        constants = all(rewriter.is_constant(v) for v in node.inputs[1:] if v is not None)
        matrix = len(node.inputs[1].shape or ()) == 2 if node.inputs[1] is not None else False
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        flat = bias is None or len(bias.shape or (0, 0)) < 2
        return {x: axis} if constants and matrix and flat and not turned and axis < rank - 1 else None
    if node.op_type in _NORMS:
        return {x: axis} if axis < node.attributes.get_int("axis", -1) % rank else None
    if node.op_type in _ALONG_AXIS:
        return {x: axis} if axis != node.attributes.get_int("axis", -1) % rank else None
    if node.op_type in _REDUCTIONS:
        axes = content(node.inputs[1]) if len(node.inputs) > 1 else None
        keeps = node.attributes.get_int("keepdims", 1) and len(x.shape) == rank
        return {x: axis} if keeps and axes is not None and axes.size and axis not in axes % rank else None
    return None


def _aligned(node: ir.Node, axis: int) -> _Axes | None:
    """Do so for an elementwise node; None if an operand may be broadcast along the axis, or not."""
    found: _Axes = {}
    shape = node.outputs[0].shape
    assert shape is not None
    for value in node.inputs:
        if value is None:
            continue
        if value.shape is None:
            return None
        at = axis - len(shape) + len(value.shape)
        if at < 0 or value.shape[at] == 1:
            continue
        if not _alike(value.shape[at], shape[axis]) or found.get(value, at) != at:
            return None
        found[value] = at
    return found


def _alike(a: int | ir.SymbolicDim, b: int | ir.SymbolicDim) -> bool:
    """Decide whether two sizes are known to be equal."""
    return a == b and (isinstance(a, int) or a.value is not None)
