"""Weights: where they lie, and that all of their bytes are there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir as ir

from onnxlrp.errors import InvalidModelError

_FIELDS = {
    ir.DataType.FLOAT: "float_data",
    ir.DataType.DOUBLE: "double_data",
    ir.DataType.INT64: "int64_data",
    ir.DataType.UINT32: "uint64_data",
    ir.DataType.UINT64: "uint64_data",
}
"""Where a tensor lies that is not raw; all other types of whole bytes in `int32_data`, one entry an element."""


def locate(model: ir.Model, folder: Path) -> None:
    """Tell external tensors that their files lie beside the model."""
    for graph in (model.graph, *model.graph.subgraphs()):
        ir.external_data.set_base_dir(graph, folder)


def check(model: ir.Model) -> None:
    """Raise InvalidModelError, with the name of the first, where weights are missing or cut short. Reads none."""
    for name, tensor in _weights(model):
        if isinstance(tensor, ir.ExternalTensor):
            _check_external(name, tensor)
        elif isinstance(tensor, ir.serde.TensorProtoTensor):
            there, needed = _extent(tensor)
            if there != needed:
                raise InvalidModelError(
                    f"the weights of {name!r}, of shape {list(tensor.shape)}, need {needed:,} bytes, and {there:,} are "
                    "there: the file is damaged, export the model again"
                )


def _weights(model: ir.Model) -> Iterator[tuple[str, ir.TensorProtocol]]:
    for graph in (model.graph, *model.graph.subgraphs()):
        for value in graph.initializers.values():
            if value.const_value is not None:
                yield str(value.name), value.const_value


def _check_external(name: str, tensor: ir.ExternalTensor) -> None:
    path = Path(tensor.path)
    if not path.is_file():
        raise InvalidModelError(
            f"the weights of {name!r} lie in {tensor.location!r}, which is not in {tensor.base_dir or Path.cwd()}: put "
            "the file there, or give the model by its path"
        )
    needed = (tensor.offset or 0) + tensor.nbytes
    if path.stat().st_size < needed or tensor.length not in (None, tensor.nbytes):
        raise InvalidModelError(
            f"the weights of {name!r}, of shape {list(tensor.shape)}, need {tensor.nbytes:,} bytes and end at byte "
            f"{needed:,} of {tensor.location!r}, which has {path.stat().st_size:,} and gives them "
            f"{tensor.length or tensor.nbytes:,}: one of the two files is damaged or not of this model"
        )


def _extent(tensor: ir.serde.TensorProtoTensor) -> tuple[int, int]:
    """How many bytes there are, and how many it needs."""
    proto: onnx.TensorProto = tensor.raw
    if proto.HasField("raw_data"):
        return len(proto.raw_data), tensor.nbytes
    if tensor.dtype == ir.DataType.STRING or tensor.dtype.itemsize < 1 or tensor.dtype.name.startswith("COMPLEX"):
        return 0, 0
    entries = len(getattr(proto, _FIELDS.get(tensor.dtype, "int32_data")))
    return entries * int(tensor.dtype.itemsize), tensor.nbytes
