"""A graph to look at, from a few lines of text in ONNX's own syntax."""

from __future__ import annotations

import onnx
import onnx.parser
import onnx_ir as ir

from onnxlrp.analysis.facts import Facts, analyse
from onnxlrp.source.canonical import canonicalise
from onnxlrp.source.read import read


class Graph:
    """A canonical graph with its facts and its values by name."""

    def __init__(self, text: str, opset: int = 21) -> None:
        proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}]>\n{text}')
        source = read(proto)
        canonicalise(source.model)
        self.graph: ir.Graph = source.model.graph
        self.facts: Facts = analyse(self.graph, list(self.graph.inputs))
        self.values = {str(v.name): v for v in self.graph.inputs}
        self.values.update({str(v.name): v for n in self.graph for v in n.outputs})

    def __getitem__(self, name: str) -> ir.Value:
        return self.values[name]

    def node(self, name: str) -> ir.Node:
        """The node that computes a value."""
        node = self.values[name].producer()
        assert node is not None
        return node

    def names(self, values: set[ir.Value]) -> set[str]:
        """Of the data, by name."""
        return {name for name, value in self.values.items() if value in values}
