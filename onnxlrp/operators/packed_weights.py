"""Layers and embeddings on weights of a few bits in blocks, which onnxruntime reads without unpacking them first."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.linear import matmul
from onnxlrp.operators.registry import LayerForm, linear, routing
from onnxlrp.operators.routing import over_embedding
from onnxlrp.operators.shape_functions import dims_of, kind_of, set_output

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder

DOMAIN = "com.microsoft"
_FP4 = (0.0, 0.0052083333, 0.66666667, 1.0, 0.33333333, 0.5, 0.16666667, 0.25)
_NF4_BELOW = (-1.0, -0.6961928, -0.52507305, -0.3949175, -0.28444138, -0.18477343, -0.09105004, 0.0)
_NF4_ABOVE = (0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0)
_TABLES = ((*_FP4, *(-v for v in _FP4)), (*_NF4_BELOW, *_NF4_ABOVE))
"""Values of the four-bit types FP4 and NF4 of bitsandbytes (Dettmers et al. 2023, QLoRA, appendix E), by `quant_type`,
as onnxruntime's kernel has them."""


def _fields(op: Builder, packed: ir.Value, bits: int, wide: ir.DataType) -> ir.Value:
    """Unpack […, n] bytes into […, n·8/bits] numbers, lowest bits first, in floats: not every provider shifts bits."""
    whole = op.Cast(packed, to=wide)
    if bits == 8:
        return whole
    parts, rest = [], whole
    for _ in range(8 // bits):
        above = op.Floor(op.Div(rest, float(2**bits)))
        parts.append(op.Unsqueeze(op.Sub(rest, op.Mul(above, float(2**bits))), op.ints([-1])))
        rest = above
    apart = op.Concat(*parts, axis=-1)
    return op.Reshape(apart, op.Concat(op.shape(packed, 0, -1), op.ints([-1]), axis=0))


def _weight(op: Builder, call: Call) -> ir.Value:
    """Compute the weight `(q − zero point)·scale`, [K, N], with one scale and zero point for each block along K."""
    k, n, bits, block = (int(call.attr(name, 4)) for name in ("K", "N", "bits", "block_size"))
    blocks = -(-k // block)
    scales, zeros = call.operand(2), call.input(3)
    wide = ir.DataType.DOUBLE if scales.dtype == ir.DataType.DOUBLE else ir.DataType.FLOAT
    column = op.ints([n, blocks, 1])
    numbers = op.Reshape(_fields(op, call.operand(1), bits, wide), op.ints([n, blocks, block]))
    if zeros is None:
        shifted = op.Sub(numbers, float(2 ** (bits - 1)))
    elif zeros.dtype == ir.DataType.UINT8:
        fields = _fields(op, op.Reshape(zeros, op.ints([n, -1])), bits, wide)
        used = op.Slice(fields, op.ints([0]), op.ints([blocks]), op.ints([1]))
        shifted = op.Sub(numbers, op.Reshape(used, column))
    else:
        shifted = op.Sub(numbers, op.Reshape(op.cast(zeros, wide), column))
    scaled = op.Mul(shifted, op.Reshape(op.cast(scales, wide), column))
    rows = op.Reshape(scaled, op.ints([n, blocks * block]))
    if blocks * block > k:
        rows = op.Slice(rows, op.ints([0]), op.ints([k]), op.ints([1]))
    return op.Transpose(rows, perm=[1, 0])


def _tabled_weight(op: Builder, call: Call) -> ir.Value:
    """Compute a bitsandbytes weight, [K, N]: the table's value of each four-bit code, times the largest number of its
    block. A byte holds the code of its first number in the higher bits; blocks run over all N·K numbers."""
    k, n, block = (int(call.attr(name)) for name in ("K", "N", "block_size"))
    largest = op.cast(call.operand(2), ir.DataType.FLOAT)
    codes = op.Reshape(_fields(op, call.operand(1), 4, ir.DataType.FLOAT), op.ints([-1, 2]))
    codes = op.Cast(op.Gather(codes, op.ints([1, 0]), axis=1), to=ir.DataType.INT64)
    table = op.constant(np.array(_TABLES[int(call.attr("quant_type"))], np.float32))
    scaled = op.Mul(op.Reshape(op.Gather(table, codes), op.ints([-1, block])), op.Reshape(largest, op.ints([-1, 1])))
    return op.Transpose(op.Reshape(scaled, op.ints([n, k])), perm=[1, 0])


def _as_matmul(op: Builder, call: Call) -> Call:
    """Return the call's product as a MatMul by the unpacked weight."""
    x = call.operand(0)
    assert x.dtype is not None
    weight = _tabled_weight if call.op_type == "MatMulBnb4" else _weight
    inputs = (x, op.cast(weight(op, call), x.dtype))
    return dataclasses.replace(
        call, op_type="MatMul", domain="", version=None, attributes={}, inputs=inputs, original=inputs
    )


def _rounds(call: Call) -> bool:
    """Decide whether the kernel rounds its input to eight bits, as it does at accuracy level 4."""
    return bool(call.attr("accuracy_level", 0) == 4)


def _refuse(call: Call) -> str | None:
    if call.input(4) is not None:
        return "its input g_idx is not supported"
    if call.attr("weight_prepacked", 0):
        return "its weight is packed for one device"
    return None if call.attr("bits", 4) in (2, 4, 8) else f"{call.attr('bits')} bits are not supported"


def _infer_product(context: Any) -> None:
    """Infer the product's shape: that of A, with N as the last dimension."""
    dims = dims_of(context, 0)
    set_output(context, kind_of(context, 0), None if dims is None else [*dims[:-1], context.get_attribute("N").i])


@linear(
    "MatMulNBits",
    domain=DOMAIN,
    operands=lambda call: (0, 5),
    layer=LayerForm("dense", ((0, 1),), bias=5, dequantised=_as_matmul, rounds=_rounds),
    refuse=_refuse,
    inference=_infer_product,
)
def matmul_n_bits(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance takes the layer's rule on the unpacked weights; the model's own run keeps its kernel."""
    if operand == 5:
        return op.unbroadcast(r, call.operand(5))
    return matmul(op, _as_matmul(op, call), 0, r)


def _refuse_tabled(call: Call) -> str | None:
    if not call.attr("transB", 1):
        return "only its weight of [N, K] is supported"
    k, n, block = (int(call.attr(name)) for name in ("K", "N", "block_size"))
    return f"blocks of {block} do not fill its weight [{n}, {k}]" if k * n % block else None


@linear(
    "MatMulBnb4",
    domain=DOMAIN,
    layer=LayerForm("dense", ((0, 1),), dequantised=_as_matmul),
    refuse=_refuse_tabled,
    inference=_infer_product,
)
def matmul_bnb4(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance takes the layer's rule on the unpacked weights; the model's own run keeps its kernel."""
    return matmul(op, _as_matmul(op, call), 0, r)


def _infer_lookup(context: Any) -> None:
    """Infer the output's shape: that of the table, with the ids' shape in place of the axis that is looked up. Packed
    bytes count as the numbers that they hold."""

    def number(name: str, default: int) -> int:
        attribute = context.get_attribute(name)
        return default if attribute is None else int(attribute.i)

    table, ids, dims = dims_of(context, 0), dims_of(context, 1), None
    if table is not None and ids is not None:
        if kind_of(context, 0) == onnx.TensorProto.UINT8 and table[-1].HasField("dim_value"):
            table[-1] = table[-1].dim_value * 8 // number("bits", 4)
        axis = number("gather_axis", 0) % len(table)
        dims = [*table[:axis], *ids, *table[axis + 1 :]]
    set_output(context, kind_of(context, 2), dims)


@routing("GatherBlockQuantized", domain=DOMAIN, operands=lambda call: (1,), lookup=True, inference=_infer_lookup)
def gather_block_quantized(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance is summed over the embedding and goes to the id that looks it up."""
    return over_embedding(op, call, int(call.attr("gather_axis", 0)), r)
