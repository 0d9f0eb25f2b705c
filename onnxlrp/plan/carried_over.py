"""The plan of a body, carried over to a copy of the body: bodies of If, Loop and Scan are planned once.

The way back walks a copy, whose nodes and values stand for those of the body.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import onnx_ir as ir

from onnxlrp.graph.call import Call, graphs_of
from onnxlrp.operators.control_flow import bodies
from onnxlrp.plan.steps import Step


@dataclasses.dataclass
class Copies:
    """Maps from the nodes and values of a graph to those that stand for them in a copy of it."""

    nodes: dict[ir.Node, ir.Node] = dataclasses.field(default_factory=dict)
    values: dict[ir.Value, ir.Value] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, graph: ir.Graph, copy: ir.Graph) -> Copies:
        """Pair a graph with its clone, and the bodies inside both."""
        copies = cls()
        copies._pair(graph, copy)
        return copies

    def _pair(self, graph: ir.Graph, copy: ir.Graph) -> None:
        self.values.update(zip(graph.inputs, copy.inputs, strict=True))
        self.values.update({v: copy.initializers[name] for name, v in graph.initializers.items()})
        for node, other in zip(graph, copy, strict=True):
            self.nodes[node] = other
            self.values.update(zip(node.outputs, other.outputs, strict=True))
            for inner, other_inner in zip(graphs_of(node), graphs_of(other), strict=True):
                self._pair(inner, other_inner)

    def steps(self, steps: Iterable[Step]) -> list[Step]:
        """Make the same steps for the copy, with the steps inside their bodies. Values of the graph around it stay as
        they are."""
        return [self._step(step) for step in steps]

    def _step(self, step: Step) -> Step:
        layer, function = step.layer, step.function
        if layer is not None:
            add = None if layer.add is None else self.nodes[layer.add]
            layer = dataclasses.replace(layer, call=self._call(layer.call), bias=self._value(layer.bias), add=add)
        if function is not None:
            function = dataclasses.replace(function, argument=self.values.get(function.argument, function.argument))
        node = self.nodes[step.node]
        call = self._call(step.call)
        graphs = {name: a for name, a in node.attributes.items() if name in call.attributes and bodies(node)}
        return dataclasses.replace(
            step,
            node=node,
            call=dataclasses.replace(call, attributes={**call.attributes, **graphs}),
            operands={i: self.values.get(v, v) for i, v in step.operands.items()},
            outputs=tuple(self.values.get(v, v) for v in step.outputs),
            layer=layer,
            function=function,
            inner=tuple(self.steps(step.inner)),
        )

    def _call(self, call: Call) -> Call:
        inputs, original = (tuple(map(self._value, v)) for v in (call.inputs, call.original))
        outputs = tuple(self.values.get(v, v) for v in call.outputs)
        return dataclasses.replace(call, inputs=inputs, outputs=outputs, original=original)

    def _value(self, value: ir.Value | None) -> ir.Value | None:
        return None if value is None else self.values.get(value, value)
