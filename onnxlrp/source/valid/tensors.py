"""Check tensors in the file: each has a known type, sizes that are not negative, and as much data as these require."""

from __future__ import annotations

import math

import onnx
from onnx import TensorProto

from onnxlrp.memory import check_elements
from onnxlrp.source.valid.refusal import Refuse

_T = TensorProto
_BITS: dict[int, int] = {
    **dict.fromkeys((_T.UINT2, _T.INT2), 2),
    **dict.fromkeys((_T.UINT4, _T.INT4, _T.FLOAT4E2M1), 4),
    **dict.fromkeys((_T.INT16, _T.UINT16, _T.FLOAT16, _T.BFLOAT16), 16),
    **dict.fromkeys((_T.FLOAT, _T.INT32, _T.UINT32), 32),
    **dict.fromkeys((_T.DOUBLE, _T.INT64, _T.UINT64, _T.COMPLEX64), 64),
    _T.COMPLEX128: 128,
}
"""Bits of an element by type; all types that are not listed have 8."""
_INDICES = frozenset({_T.INT8, _T.INT16, _T.INT32, _T.INT64})
_SIX_BITS: frozenset[int] = frozenset({_T.FLOAT6E2M3, _T.FLOAT6E3M2})
_FIELDS: dict[int, str] = {
    **dict.fromkeys((_T.FLOAT, _T.COMPLEX64), "float_data"),
    **dict.fromkeys((_T.DOUBLE, _T.COMPLEX128), "double_data"),
    **dict.fromkeys((_T.UINT32, _T.UINT64), "uint64_data"),
    _T.INT64: "int64_data",
}
"""Fields that hold the data of a tensor that is not raw, by type; all other types use `int32_data`."""
TYPES = frozenset(_T.DataType.values()) - {_T.UNDEFINED}


def check(tensor: TensorProto, what: str, refuse: Refuse) -> None:
    """Raise the error that `refuse` makes if a tensor contradicts itself; `what` names the tensor."""
    if tensor.data_type not in TYPES:
        raise refuse(f"{what} has the data type {tensor.data_type}, which ONNX does not know")
    if any(d < 0 for d in tensor.dims):
        raise refuse(f"{what} has the sizes {list(tensor.dims)}, and none can be negative")
    if tensor.data_location == _T.EXTERNAL or tensor.data_type in _SIX_BITS:
        return
    there, needed = _extent(tensor)
    if there != needed:
        unit = "texts" if tensor.data_type == _T.STRING else "bytes"
        raise refuse(
            f"{what}, of shape {list(tensor.dims)}, needs {needed:,} {unit}, and {there:,} are there: the file is "
            "damaged"
        )


def check_sparse(tensor: onnx.SparseTensorProto, what: str, refuse: Refuse) -> None:
    """Raise the error that `refuse` makes if a sparse tensor contradicts itself."""
    check(tensor.values, f"{what} (its values)", refuse)
    check(tensor.indices, f"{what} (its indices)", refuse)
    if any(d < 0 for d in tensor.dims):
        raise refuse(f"{what} has the sizes {list(tensor.dims)}, and none can be negative")
    check_elements(tensor.dims, what)
    count, rank = math.prod(tensor.values.dims), len(tensor.dims)
    # onnxruntime takes indices of 32 bits and fewer as well.
    if tensor.indices.data_type not in _INDICES or list(tensor.indices.dims) not in ([count], [count, rank]):
        raise refuse(f"{what} has {count:,} values, and indices of shape {list(tensor.indices.dims)}")


def _extent(tensor: TensorProto) -> tuple[int, int]:
    """Count the bytes that a tensor holds and the bytes that its sizes require; for texts, count texts."""
    elements, kind = math.prod(tensor.dims), int(tensor.data_type)
    if kind == _T.STRING:
        return len(tensor.string_data), elements
    bits = _BITS.get(kind, 8)
    needed = -(-elements * bits // 8)
    if tensor.HasField("raw_data"):
        return len(tensor.raw_data), needed
    there = len(getattr(tensor, _FIELDS.get(kind, "int32_data")))
    if bits < 8:
        # An entry holds one byte of packed elements, but some writers give each element an entry of its own.
        return (needed if there in (needed, elements) else there), needed
    parts = 2 if kind in (_T.COMPLEX64, _T.COMPLEX128) else 1
    return there * bits // 8 // parts, needed
