"""Ids that become indicators in front of a constant table are explained as a lookup in it."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from tests.source.nets import run

TABLE = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
IDS = np.array([[0, 5, 2], [3, 3, 1]], np.int64)


def _model(kind: str) -> onnx.ModelProto:
    """Rows of a table by ids, whichever way, a nonlinear function of them, and scores."""
    weights = np.random.default_rng(1).normal(size=(12, 3)).astype(np.float32)
    constants = {
        "table": TABLE,
        "weights": weights,
        "last": np.array([2]),
        "all": np.arange(6).reshape(1, 1, 6),
        "size": np.array([1, 1, 6]),
        "depth": np.array(6),
        "values": np.array([0, 1], np.float32),
        "flat": np.array([0, 12]),
    }
    first = {
        "lookup": [helper.make_node("Gather", ["table", "ids"], ["rows"])],
        "one_hot": [helper.make_node("OneHot", ["ids", "depth", "values"], ["hot"], axis=-1)],
        "jax": [
            helper.make_node("Unsqueeze", ["ids", "last"], ["wide"]),
            helper.make_node("Expand", ["wide", "size"], ["copies"]),
            helper.make_node("Equal", ["copies", "all"], ["same"]),
            helper.make_node("Cast", ["same"], ["hot"], to=TensorProto.FLOAT),
        ],
        "equal": [
            helper.make_node("Unsqueeze", ["ids", "last"], ["wide"]),
            helper.make_node("Equal", ["all", "wide"], ["same"]),
            helper.make_node("Cast", ["same"], ["hot"], to=TensorProto.FLOAT),
        ],
    }[kind]
    nodes = [
        *first,
        *([] if kind == "lookup" else [helper.make_node("MatMul", ["hot", "table"], ["rows"])]),
        helper.make_node("Tanh", ["rows"], ["t"]),
        helper.make_node("Reshape", ["t", "flat"], ["f"]),
        helper.make_node("MatMul", ["f", "weights"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "ids",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("kind", ["one_hot", "jax", "equal"])
def test_indicators_are_explained_as_a_lookup(kind):
    wanted, found = (run(onnxlrp.convert(_model(k), "epsilon").to_proto(), {"ids": IDS}) for k in ("lookup", kind))
    assert np.abs(wanted["ids_relevance"]).min() > 1e-3
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5)


def as_floats(kind: str) -> onnx.ModelProto:
    """The ids come as floats, as Keras has them, and are rounded; what is 0 is also masked."""
    model = _model(kind)
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    model.graph.input[0].name = "given"
    model.graph.initializer.append(numpy_helper.from_array(np.array(0, np.int32), "zero"))
    nodes = [
        helper.make_node("Cast", ["given"], ["rounded"], to=TensorProto.INT32),
        helper.make_node("Cast", ["rounded"], ["ids"], to=TensorProto.INT64),
        *model.graph.node[:-1],
        helper.make_node("MatMul", ["f", "weights"], ["unmasked"]),
        helper.make_node("Equal", ["rounded", "zero"], ["padding"]),
        helper.make_node("Where", ["padding", "values_0", "values_1"], ["mask"]),
        helper.make_node("Mul", ["unmasked", "mask"], ["y"]),
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(np.float32(v), f"values_{v}") for v in (0, 1))
    return model


@pytest.mark.parametrize("kind", ["lookup", "one_hot", "equal"])
def test_ids_may_come_as_floats(kind):
    ids = np.array([[4, 5, 2], [3, 3, 1], [1, 2, 5]])
    wanted = run(onnxlrp.convert(_model("lookup"), "epsilon").to_proto(), {"ids": ids})
    explained = onnxlrp.convert(as_floats(kind), "epsilon", inputs=["given"]).to_proto()
    found = run(explained, {"given": ids.astype(np.float32)})
    np.testing.assert_allclose(found["given_relevance"], wanted["ids_relevance"], rtol=1e-4, atol=1e-5)
    assert np.abs(found["given_relevance"]).min() > 1e-3


@pytest.mark.parametrize("kind", ["jax", "equal"])
def test_an_id_that_is_no_category_has_no_row_and_no_relevance(kind):
    found = run(onnxlrp.convert(_model(kind), "epsilon").to_proto(), {"ids": np.array([[0, -1, 9]])})
    assert found["ids_relevance"][0, 0] != 0
    np.testing.assert_array_equal(found["ids_relevance"][0, 1:], 0)


def test_indicators_of_a_group_are_no_data():
    """Which of its groups a row is added to is a position: all relevance is the rows'."""
    nodes = [
        helper.make_node("OneHot", ["group", "depth", "values"], ["hot"], axis=-1),
        helper.make_node("Transpose", ["hot"], ["by_group"], perm=[1, 0]),
        helper.make_node("MatMul", ["by_group", "x"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "groups",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4]),
            helper.make_tensor_value_info("group", TensorProto.INT64, ["N"]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 4])],
        [
            numpy_helper.from_array(np.array(2), "depth"),
            numpy_helper.from_array(np.array([0, 1], np.float32), "values"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    x = np.ones((3, 4), np.float32)
    found = run(onnxlrp.convert(model, "epsilon").to_proto(), {"x": x, "group": np.array([0, 1, 1])})
    assert "group_relevance" not in found
    np.testing.assert_allclose(found["x_relevance"].sum(), found["y"].max(axis=1).sum(), rtol=1e-5)
