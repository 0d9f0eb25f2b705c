"""Operators applied to operands, and questions about the values that they are applied to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import InvalidModelError
from onnxlrp.graph.tensor_lists import held_tensors
from onnxlrp.reprs import cut


class UnknownRankError(InvalidModelError):
    """The rank of `value` is needed, but could not be inferred."""

    def __init__(self, value: ir.Value) -> None:
        self.value, maker = value, value.producer()
        self.subject = f"the rank of {value.name!r}" + ("" if maker is None else f" of {maker.op_type} {maker.name!r}")
        super().__init__(
            f"{self.subject} cannot be inferred: declare the shapes of the model's inputs, or run onnx.shape_inference "
            "on a model that knows them"
        )


def graphs_of(node: ir.Node) -> list[ir.Graph]:
    """List the graphs that a node's attributes hold."""
    graphs: list[ir.Graph] = []
    if not node.attributes:  # Walking through an empty dictionary takes ten times as long.
        return graphs
    for attribute in node.attributes.values():
        if attribute.type == ir.AttributeType.GRAPH:
            graphs.append(attribute.as_graph())
        elif attribute.type == ir.AttributeType.GRAPHS:
            graphs += attribute.as_graphs()
    return graphs


def values_in(graph: ir.Graph) -> set[ir.Value]:
    """Collect the values that a graph takes, holds or computes, without those of its bodies."""
    return {*graph.inputs, *graph.initializers.values(), *(v for n in graph for v in n.outputs)}


def captured(node: ir.Node) -> list[ir.Value]:
    """List the values that a node's bodies (of If, Loop, Scan) read from the graphs around them, each once."""
    outer: dict[ir.Value, None] = {}
    for graph in graphs_of(node):
        inside = values_in(graph)
        read = [v for n in graph for v in (*n.inputs, *captured(n)) if v is not None]
        outer.update(dict.fromkeys(v for v in (*read, *graph.outputs) if v not in inside))
    return list(outer)


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """An operator applied to operands, some perhaps replaced: all that a transpose or a derivative may look at."""

    op_type: str
    domain: str
    version: int | None
    attributes: Mapping[str, ir.Attr]
    inputs: tuple[ir.Value | None, ...]
    outputs: tuple[ir.Value, ...]
    name: str | None = None
    original: tuple[ir.Value | None, ...] = ()
    """Operands of the model's own node."""

    @classmethod
    def of(cls, node: ir.Node) -> Call:
        """Describe a node; values that its bodies read and tensors of a list that it reads are its last operands."""
        operands, outputs = (*node.inputs, *captured(node), *held_tensors(node)), tuple(node.outputs)
        return cls(node.op_type, node.domain, node.version, node.attributes, operands, outputs, node.name, operands)

    def __repr__(self) -> str:
        return f"<Call {cut(self.name)}: {cut(self.domain or 'ai.onnx')}::{cut(self.op_type)}>"

    def rebind(self, operands: Mapping[int, ir.Value | None]) -> Call:
        """Apply the same operator to other operands, given by index."""
        size = max([len(self.inputs), *(i + 1 for i in operands)])
        inputs = tuple(operands.get(i, self.inputs[i] if i < len(self.inputs) else None) for i in range(size))
        return dataclasses.replace(self, inputs=inputs)

    def variant(self, op_type: str | None = None, without: Sequence[str] = ()) -> Call:
        """Apply another operator, or the same with fewer attributes, to the same operands."""
        attributes = {k: v for k, v in self.attributes.items() if k not in without}
        return dataclasses.replace(self, op_type=op_type or self.op_type, attributes=attributes)

    def input(self, index: int) -> ir.Value | None:
        """Return an operand, None if it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def operand(self, index: int) -> ir.Value:
        """Return an operand that must be present."""
        value = self.input(index)
        assert value is not None, f"{self.name}: operand {index} is missing"
        return value

    def attr(self, name: str, default: Any = None) -> Any:
        """Return an attribute's value, or the default if it is absent."""
        attribute = self.attributes.get(name)
        return default if attribute is None else attribute.value

    def ints(self, name: str, default: Sequence[int] | None = None) -> list[int]:
        """Return an attribute that is a list of integers."""
        return [int(i) for i in self.attr(name, default)]

    def rank(self, index: int = 0) -> int:
        """Return the rank of an operand. Raises UnknownRankError if it could not be inferred."""
        return len(ranked(self.operand(index)))


def ranked(value: ir.Value) -> ir.Shape:
    """Return the shape of a value whose rank must be known. Raises UnknownRankError if it is not."""
    if value.shape is None:
        raise UnknownRankError(value)
    return value.shape


def sizes_known(value: ir.Value) -> bool:
    """Decide whether all sizes of a value are known, at least by name."""
    return value.shape is not None and all(isinstance(d, int) or d.value is not None for d in value.shape)


def content(value: ir.Value | None) -> np.ndarray | None:
    """Return the content of a constant, None if it is not known before the model runs."""
    return None if value is None or value.const_value is None else value.const_value.numpy()


def shaped(tensor: ir.Value, like: ir.Value) -> ir.Value:
    """Declare that a tensor has the shape of a value, and return it.

    Inference through shape arithmetic forgets the names of dimensions, and what is not known to be equal must be
    treated as if it were broadcast.
    """
    if like.shape is not None:
        tensor.shape = like.shape
    return tensor
