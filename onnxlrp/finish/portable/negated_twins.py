"""Pass that gives the second of two products that read one weight the negative of it.

OpenVINO arranges a weight in memory for a product once, and serves another product of the same weight from that: for
square weights, forward and transposed, the second is silently wrong (`findings/openvino_tied_weight.sh`). It also takes
two equal copies for one. With −W, whose product is negated, the result is exactly the same, and nothing is shared.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import content
from onnxlrp.graph.provenance import is_relevance
from onnxlrp.source.constants import constants

_PRODUCTS = {"MatMul": (0, 1), "Gemm": (0, 1), "Conv": (1,), "ConvTranspose": (1,)}
"""Products, each with the operands that may be a weight."""
_BIAS = 2
"""The operand that is added to a product."""


class _Way(NamedTuple):
    """A way in which products read a weight."""

    op_type: str
    operand: int
    transposed: int


def give_twins(op: Builder) -> None:
    """Let every weight be read in one way only: forward by one kind of product, or transposed by another.

    The model's own products keep the weight itself. The products of the relevance part that read it in a second way
    read −W, in a third way 2·W, and so on: by powers of two, so that every product is exact.
    """
    for ways in _read_in_ways(op.graph).values():
        kept = next((way for way, nodes in ways.items() if not all(map(is_relevance, nodes))), next(iter(ways)))
        others = [way for way in ways if way != kept]
        for scale, way in zip(_scales(), others, strict=False):
            for node in filter(is_relevance, ways[way]):
                _read_scaled(op, node, way.operand, scale)


def _scales() -> Iterable[float]:
    """Yield −1, 2, −2, 4, −4, …"""
    yield -1.0
    for power in range(1, 16):
        yield from (2.0**power, -(2.0**power))


def _read_in_ways(graph: ir.Graph) -> dict[ir.Value, dict[_Way, list[ir.Node]]]:
    """Find the constants that products read in more than one way, each way with its products."""
    fixed = constants(graph)
    found: dict[ir.Value, dict[_Way, list[ir.Node]]] = collections.defaultdict(dict)
    for node in graph:
        for index in _PRODUCTS.get(node.op_type, ()) if node.domain == "" else ():
            weight = node.inputs[index]
            if weight is not None and weight in fixed and weight.dtype is not None and weight.dtype.is_floating_point():
                transposed = node.attributes.get_int("transB" if index else "transA", 0)
                found[weight].setdefault(_Way(node.op_type, index, transposed), []).append(node)
    return {weight: ways for weight, ways in found.items() if len(ways) > 1}


def _read_scaled(op: Builder, node: ir.Node, operand: int, scale: float) -> None:
    """Let a product read a multiple of its weight, and divide its result by the factor."""
    for index in (operand, _BIAS):
        value = node.inputs[index] if index < len(node.inputs) else None
        if value is not None:
            node.replace_input_with(index, _scaled(op, value, scale))
    out = node.outputs[0]
    readers = list(out.uses())
    back = op.Neg(out) if scale == -1 else op.Mul(out, 1 / scale)
    back.shape = out.shape
    for reader, index in readers:
        reader.replace_input_with(index, back)
    _hand_out(op.graph, out, back)


def _scaled(op: Builder, value: ir.Value, scale: float) -> ir.Value:
    """Multiply a value: by a new constant where its content is known."""
    known = content(value)
    if known is not None:
        return op.constant(np.asarray(known * np.asarray(scale, known.dtype)))
    return op.Neg(value) if scale == -1 else op.Mul(value, scale)


def _hand_out(graph: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    for index, value in enumerate(graph.outputs):
        if value is old:
            old.name, new.name = f"{old.name}_scaled", old.name
            graph.outputs[index] = new
