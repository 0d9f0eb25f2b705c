"""Sparse tensors mean the dense ones that onnxruntime makes of them, and stay sparse in the file."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import InvalidModelError
from tests.operators.case import onnxruntime

Array = np.ndarray
WEIGHT = np.zeros((600, 500))
WEIGHT[0, 1], WEIGHT[2, 3], WEIGHT[5, 0], WEIGHT[599, 0], WEIGHT[3, 499] = 1, -2, 3, 4, 5


def sparse(dense: Array, by_axis: bool, order: int = 1, kind: type = np.int64) -> onnx.SparseTensorProto:
    """The values that are not 0; `order=-1`: the last one first."""
    places = np.argwhere(dense)[::order]
    values = dense[tuple(places.T)]
    indices = places if by_axis else np.ravel_multi_index(tuple(places.T), dense.shape)
    return helper.make_sparse_tensor(
        numpy_helper.from_array(values, "w"),
        numpy_helper.from_array(np.ascontiguousarray(indices).astype(kind), "places"),
        dense.shape,
    )


def model(
    nodes: list[onnx.NodeProto], kind: int = TensorProto.FLOAT, tensor: onnx.SparseTensorProto | None = None
) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(*v) for v in (("x", kind, ["N", 600]), ("y", kind, ["N", 500])))
    given = [] if tensor is None else [tensor]
    constants = [numpy_helper.from_array(np.float32(-1e9), "low")]
    graph = helper.make_graph(nodes, "g", [x], [y], constants, sparse_initializer=given)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def check(source: onnx.ModelProto) -> None:
    """The same outputs and relevance as of the dense weight, in a file that is hardly larger."""
    kind = helper.tensor_dtype_to_np_dtype(source.graph.input[0].type.tensor_type.elem_type)
    x = np.random.default_rng(0).normal(size=(2, 600)).astype(kind)
    explained = onnxlrp.convert(source, "epsilon")
    found = onnxlrp.Explainer(explained)({"x": x}, target=0)
    np.testing.assert_array_equal(found.outputs["y"], onnxruntime(source)({"x": x})["y"])
    np.testing.assert_allclose(found.outputs["y"], x @ WEIGHT, rtol=1e-4)
    np.testing.assert_allclose(found.relevance["x"], x * WEIGHT[:, 0], rtol=1e-4)
    proto = explained.to_proto()
    bodies = [a.g for n in proto.graph.node for a in n.attribute if a.HasField("g")]
    assert sum(len(g.sparse_initializer) for g in (proto.graph, *bodies)) == 1
    assert proto.ByteSize() < 50_000


@pytest.mark.parametrize("kind", [np.int64, np.int32])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("by_axis", [False, True], ids=["linear", "by axis"])
def test_indices(by_axis, order, kind):
    """Of either form, in any order."""
    weight = sparse(WEIGHT.astype(np.float32), by_axis, order, kind)
    check(model([helper.make_node("MatMul", ["x", "w"], ["y"])], tensor=weight))


def test_doubles():
    check(model([helper.make_node("MatMul", ["x", "w"], ["y"])], TensorProto.DOUBLE, sparse(WEIGHT, False)))


def test_whole_numbers():
    """Cast to floats in the graph."""
    nodes = [
        helper.make_node("Cast", ["w"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "f"], ["y"]),
    ]
    check(model(nodes, tensor=sparse(WEIGHT.astype(np.int64), False)))


def test_a_constant_node():
    constant = helper.make_node("Constant", [], ["w"], sparse_value=sparse(WEIGHT.astype(np.float32), True))
    check(model([constant, helper.make_node("MatMul", ["x", "w"], ["y"])]))


def test_in_a_branch():
    """The other branch has a dense weight of its own."""
    branches = {}
    for name, given in (("then", {"sparse_initializer": [sparse(WEIGHT.astype(np.float32), False)]}), ("else", {})):
        weight = [] if given else [numpy_helper.from_array(np.ones((600, 1), np.float32), "v")]
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        node = helper.make_node("MatMul", ["x", "v" if weight else "w"], [name])
        branches[f"{name}_branch"] = helper.make_graph([node], name, [], [out], weight, **given)
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "low"], ["holds"]),
        helper.make_node("If", ["holds"], ["y"], **branches),
    ]
    check(model(nodes))


def test_in_a_function():
    constant = helper.make_node("Constant", [], ["w"], sparse_value=sparse(WEIGHT.astype(np.float32), False))
    nodes = [constant, helper.make_node("MatMul", ["x", "w"], ["y"])]
    source = model([helper.make_node("Dense", ["x"], ["y"], domain="local")])
    source.functions.append(helper.make_function("local", "Dense", ["x"], ["y"], nodes, [helper.make_opsetid("", 21)]))
    source.opset_import.append(helper.make_opsetid("local", 1))
    x = np.ones((1, 600), np.float32)
    found = onnxlrp.Explainer(onnxlrp.convert(source, "epsilon"))({"x": x}, target=0)
    np.testing.assert_allclose(found.relevance["x"], x * WEIGHT[:, 0], rtol=1e-4)


def test_an_index_past_the_end():
    weight = sparse(WEIGHT.astype(np.float32), False)
    weight.dims[0] = 10
    with pytest.raises(InvalidModelError, match=r"sparse tensor 'w' \[10, 500\]"):
        onnxlrp.convert(model([helper.make_node("MatMul", ["x", "w"], ["y"])], tensor=weight))
