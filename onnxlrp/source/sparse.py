"""Make sparse tensors dense while a model is read, as onnxruntime does when it loads one, and sparse again in the
file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from onnxlrp.errors import InvalidModelError
from onnxlrp.memory import check_elements
from onnxlrp.source.valid.inner import bodies_of

_SPARSE = onnx.AttributeProto.SPARSE_TENSOR


def make_dense(proto: onnx.ModelProto) -> list[onnx.SparseTensorProto]:
    """Replace all sparse tensors by dense ones: initializers and Constant nodes, in bodies and functions too.

    Returns the sparse tensors.
    """
    found = []
    graphs = [proto.graph, *bodies_of(proto.graph.node), *(g for f in proto.functions for g in bodies_of(f.node))]
    for graph in graphs:
        for sparse in graph.sparse_initializer:
            found.append(_copy(sparse))
            graph.initializer.append(_dense(sparse, sparse.values.name))
        graph.ClearField("sparse_initializer")
    for node in (n for part in (*graphs, *proto.functions) for n in part.node):
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.type == _SPARSE:
                found.append(_copy(attribute.sparse_tensor))
                dense = _dense(attribute.sparse_tensor, node.output[0])
                attribute.CopyFrom(onnx.helper.make_attribute("value", dense))
    return found


def make_sparse(proto: onnx.ModelProto, tensors: Sequence[onnx.SparseTensorProto]) -> None:
    """Put each sparse tensor back in the place of the initializer, of the model or of a body, that holds the same
    values."""
    for graph in (proto.graph, *bodies_of(proto.graph.node)) if tensors else ():
        for tensor in list(graph.initializer):
            sparse = next((s for s in tensors if _is_same(tensor, s)), None)
            if sparse is not None:
                restored = graph.sparse_initializer.add()
                restored.CopyFrom(sparse)
                restored.values.name = tensor.name
                graph.initializer.remove(tensor)


def _is_same(tensor: onnx.TensorProto, sparse: onnx.SparseTensorProto) -> bool:
    kind = (tensor.data_type, *tensor.dims) == (sparse.values.data_type, *sparse.dims)
    if not kind or tensor.data_location == onnx.TensorProto.EXTERNAL:
        return False
    given, dense = numpy_helper.to_array(tensor), numpy_helper.to_array(_dense(sparse, tensor.name))
    return np.array_equal(given, dense)


def _copy(sparse: onnx.SparseTensorProto) -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto.FromString(sparse.SerializeToString())


def _dense(sparse: onnx.SparseTensorProto, name: str) -> onnx.TensorProto:
    """Make a sparse tensor dense. Its indices are linear [n], or one for each axis [n, rank], in any order.

    Raises InvalidModelError if they do not fit the shape or the values.
    """
    shape = tuple(sparse.dims)
    check_elements(shape, f"the sparse tensor {name!r}")
    try:
        values, places = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
        if places.ndim == 2:
            places = np.ravel_multi_index(tuple(places.T), shape)
        dense = np.zeros(shape, values.dtype)
        if places.shape != values.shape or (places.size and (places.min() < 0 or places.max() >= dense.size)):
            raise ValueError(f"{values.size} values and indices {list(places.shape)} for a tensor {list(shape)}")
        dense.reshape(-1)[places] = values
        return numpy_helper.from_array(dense, name)
    except (ValueError, TypeError, MemoryError) as error:
        raise InvalidModelError(f"the sparse tensor {name!r} {list(shape)} cannot be made dense: {error}") from error
