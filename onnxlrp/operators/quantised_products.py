"""Products of integers as onnxruntime's tools write them, and the same products in floats."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import onnx_ir as ir

if TYPE_CHECKING:
    from onnxlrp.builder import Builder

Found = tuple[list[ir.Node], ir.Value]


def integer_product(op: Builder, node: ir.Node, constant: Callable[[ir.Value | None], bool]) -> Found | None:
    """`Cast(ConvInteger or MatMulInteger(x, w))·(scale of x · scale of w) + bias`: the nodes that are this, and the
    layer in floats. None where it is something else."""
    x, w = node.inputs[0], node.inputs[1]
    chain = [node]
    for op_type in ("Cast", "Mul"):
        following = _sole(chain[-1])
        if following is None or following.op_type != op_type:
            return None
        chain.append(following)
    scale = _other(chain[-1], chain[-2].outputs[0])
    scales = _scales(scale)
    if x is None or w is None or scales is None or not constant(w):
        return None
    source = x.producer()
    if source is None or source.op_type != "DynamicQuantizeLinear" or source.outputs[1] not in scales:
        return None
    own = source.outputs[1]
    other = next((s for s in scales if s is not own), None)
    if other is None or not constant(other) or not _is(node, 2, source.outputs[2]):
        return None
    zero = node.inputs[3] if len(node.inputs) > 3 else None
    wide = own.dtype
    if wide is None or other.shape is None or w.shape is None:
        return None
    matrix = node.op_type == "MatMulInteger"
    if not matrix and len(other.shape) and any(d != 1 for d in other.shape):
        return None
    weight = op.Cast(w, to=wide)
    if zero is not None:
        if zero.shape is None:
            return None
        shift, rank = op.Cast(zero, to=wide), len(w.shape)
        if not matrix and len(zero.shape) == 1:
            shift = op.Reshape(shift, op.ints([-1, *[1] * (rank - 1)]))
        weight = op.Sub(weight, shift)
    weight = op.Mul(weight, other if matrix else op.Reshape(other, op.ints([1] * len(w.shape))))
    given = op.DequantizeLinear(x, own, source.outputs[2])
    following = _sole(chain[-1])
    bias = None
    if following is not None and following.op_type == "Add":
        bias = _other(following, chain[-1].outputs[0])
        bias = bias if constant(bias) and (matrix or _per_channel(bias)) else None
    if bias is not None and following is not None:
        chain.append(following)
    if matrix:
        product = op.MatMul(given, weight)
        return chain, product if bias is None else op.Add(product, bias)
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    vector = None if bias is None else op.Reshape(bias, op.ints([-1]))
    return chain, op.Conv(given, weight, vector, **attributes)


def _per_channel(bias: ir.Value | None) -> bool:
    """Whether a bias is [1, C, 1, …]."""
    dims = [] if bias is None or bias.shape is None else list(bias.shape)
    return len(dims) > 2 and dims[0] == 1 and all(d == 1 for d in dims[2:])


def _is(node: ir.Node, index: int, value: ir.Value) -> bool:
    return len(node.inputs) > index and node.inputs[index] is value


def _sole(node: ir.Node) -> ir.Node | None:
    """The one node that reads what a node makes."""
    out = node.outputs[0]
    uses = list(out.uses())
    return uses[0].node if len(uses) == 1 and not out.is_graph_output() and uses[0].node.domain == "" else None


def _other(node: ir.Node, value: ir.Value) -> ir.Value | None:
    return node.inputs[1] if node.inputs[0] is value else node.inputs[0]


def _scales(value: ir.Value | None) -> list[ir.Value] | None:
    """The two factors of a scale."""
    node = None if value is None else value.producer()
    if node is None or node.op_type != "Mul" or node.domain != "":
        return None
    return [v for v in node.inputs if v is not None]
