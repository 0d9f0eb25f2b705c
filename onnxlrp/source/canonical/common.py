"""Hold what every rewrite needs: which values are constant, who consumes a value, and ways to replace one value by
another."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.misses import miss
from onnxlrp.graph.names import unused_scope
from onnxlrp.graph.provenance import is_replaced
from onnxlrp.graph.readers import redirect, sole_reader
from onnxlrp.source.constants import constants


class Rewriter:
    """A graph that is being rewritten; `op` appends nodes, and the graph is sorted afterwards."""

    def __init__(self, graph: ir.Graph, around: Collection[ir.Value] = ()) -> None:
        self.graph = graph
        self.op = Builder(graph, unused_scope(graph, "canonical"))
        self.constants = constants(graph, around)
        self.absorbed: dict[str, str] = {}
        self.pasted = False
        """True once a body was written out into this graph."""

    def is_constant(self, value: ir.Value | None) -> bool:
        """Decide whether a value depends on no input."""
        return value is not None and (value in self.constants or value.is_initializer())

    def nodes(self, *op_types: str) -> list[ir.Node]:
        """List the graph's own nodes of some default-domain operators, in order, without those that must run as they
        are deployed."""
        return [n for n in self.graph if n.domain == "" and n.op_type in op_types and not is_replaced(n)]

    def sole_consumer(self, value: ir.Value) -> ir.Node | None:
        """Find the only node that reads a value; None if several do or the value is an output."""
        reader = sole_reader(value)
        if reader is not None:
            return reader[0]
        place = "an output" if value.is_graph_output() else f"read by {len(value.uses())} nodes"
        return miss(f"{value.name!r} is {place}")

    def stand_in(self, node: ir.Node, suffix: str) -> None:
        """Let a node take over the readers and the name of its first operand, a value of the model's own; `suffix` is
        appended to that value's name."""
        own, out = node.inputs[0], node.outputs[0]
        assert own is not None
        out.type, out.shape = own.type, own.shape
        out.name, own.name = own.name, f"{own.name}_{suffix}"
        self.graph.opset_imports[node.domain] = 1
        self.graph.append(node)
        redirect((use for use in own.uses() if use.node is not node), out)
        for index, value in enumerate(self.graph.outputs):
            if value is own:
                self.graph.outputs[index] = out

    def made(self, value: ir.Value) -> ir.Value:
        """Record that a value was just computed from constants, and return it."""
        self.constants.add(value)
        return value

    def paste(self, body: ir.Graph, arguments: Sequence[ir.Value | None], name: str) -> list[ir.Value]:
        """Copy a body's nodes into the graph and return the copy's outputs; `name` is the prefix of all names in the
        copy."""
        self.pasted = True
        copy = body.clone(allow_outer_scope_values=True)
        for parameter, argument in zip(copy.inputs, arguments, strict=True):
            assert argument is not None
            ir.convenience.replace_all_uses_with(parameter, argument, replace_graph_outputs=True)
        outputs = list(copy.outputs)
        copy.outputs.clear()
        for value in list(copy.initializers.values()):
            copy.initializers.pop(str(value.name))
            value.name = f"{name}_{value.name}"
            self.graph.register_initializer(value)
        moved = list(copy)
        copy.remove(moved, safe=False)
        for node in moved:
            node.name = f"{name}_{node.name}"
            for value in node.outputs:
                value.name = f"{name}_{value.name}"
        self.graph.extend(moved)
        return outputs

    def replace(self, old: ir.Value, new: ir.Value, where: str) -> None:
        """Let all readers of `old` read `new`, which takes over its name; record that the name of `new` was absorbed
        into `where`."""
        name, gone = old.name, new.name
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        producer = old.producer()
        if producer is not None and producer.graph is self.graph:
            self.graph.remove(producer, safe=True)
        if new.is_graph_input() or new.is_initializer():
            return
        new.name = name
        new.shape, new.type = old.shape or new.shape, old.type or new.type
        if gone and gone != name:
            self.absorbed[gone] = where
