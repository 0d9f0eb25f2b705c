"""What every rewrite needs: what is constant, who consumes a value, and putting one value in another's place."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.misses import miss
from onnxlrp.graph.provenance import is_replaced
from onnxlrp.graph.readers import redirect, sole_reader
from onnxlrp.source.constants import constants


class Rewriter:
    """A graph under rewriting; `op` appends nodes (the graph is sorted afterwards)."""

    def __init__(self, graph: ir.Graph, around: Collection[ir.Value] = ()) -> None:
        self.graph = graph
        self.op = Builder(graph, "canonical")
        self.constants = constants(graph, around)
        self.absorbed: dict[str, str] = {}
        self.pasted = False
        """Whether a body was written out."""

    def is_constant(self, value: ir.Value | None) -> bool:
        """Whether a value depends on no input."""
        return value is not None and (value in self.constants or value.is_initializer())

    def nodes(self, *op_types: str) -> list[ir.Node]:
        """The graph's own nodes of some default-domain operators, in order; none that must run as they are deployed."""
        return [n for n in self.graph if n.domain == "" and n.op_type in op_types and not is_replaced(n)]

    def sole_consumer(self, value: ir.Value) -> ir.Node | None:
        """The one node that reads a value, None where there are several or it is an output."""
        reader = sole_reader(value)
        if reader is not None:
            return reader[0]
        place = "an output" if value.is_graph_output() else f"read by {len(value.uses())} nodes"
        return miss(f"{value.name!r} is {place}")

    def stand_in(self, node: ir.Node, suffix: str) -> None:
        """Put a node in the place of its first operand, a value of the model's own: under that value's name, to which
        `suffix` is appended."""
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
        """A value that was just computed from constants."""
        self.constants.add(value)
        return value

    def paste(self, body: ir.Graph, arguments: Sequence[ir.Value | None], name: str) -> list[ir.Value]:
        """The outputs of a copy of a body, its nodes among the graph's own; `name` is put before theirs."""
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
        """Everyone who read `old` reads `new`, which takes over its name; the name of `new` is absorbed `where`."""
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
