"""What is computed at conversion is reckoned first; nothing here is large, the bound is made small."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp import memory
from onnxlrp.errors import InputError, InvalidModelError
from onnxlrp.source import canonical, evaluate, propagation


def model(nodes, constants, x=("N", 4), y=None) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", x), ("y", y))]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_the_bound_is_set_by_the_environment(monkeypatch):
    assert memory.most_elements() == 2**27
    monkeypatch.setenv("ONNXLRP_MAX_MEMORY", "0.5")
    assert memory.most_elements() == 2**16
    monkeypatch.setenv("ONNXLRP_MAX_MEMORY", "much")
    with pytest.raises(InputError, match="'much'"):
        memory.most_elements()


def test_a_node_that_asks_for_more_is_named(monkeypatch):
    monkeypatch.setenv("ONNXLRP_MAX_MEMORY", "0.0001")
    node = helper.make_node("AveragePool", ["x"], ["y"], "pool", kernel_shape=[5, 5], strides=[1, 1])
    with pytest.raises(InvalidModelError, match=r"AveragePool node 'pool' .*25 elements.*ONNXLRP_MAX_MEMORY"):
        onnxlrp.convert(model([node], {}, ("N", 2, 9, 9)), "epsilon", target="weights")


def test_what_is_never_kept_is_not_computed(monkeypatch):
    """A constant that is expanded: its size is known, and it is left to the session."""
    computed = []
    original = canonical._refuse_large

    def watch(node):
        found = original(node)
        computed.append((node.op_type, found))
        return found

    monkeypatch.setattr(canonical, "_refuse_large", watch)
    monkeypatch.setattr(canonical, "_COMPUTED_SIZE", 100)
    nodes = [
        helper.make_node("Expand", ["one", "sizes"], ["row"], "expand"),
        helper.make_node("ReduceSum", ["row"], ["sum"], "sum", keepdims=0),
        helper.make_node("Mul", ["x", "sum"], ["y"], "scale"),
    ]
    onnxlrp.convert(model(nodes, {"one": np.float32(1), "sizes": np.array([30, 30])}, y=("N", 4)))
    assert ("Expand", False) in computed


def test_an_evaluation_that_grows_is_refused(monkeypatch):
    monkeypatch.setenv("ONNXLRP_MAX_MEMORY", "0.001")
    result, x, sizes = (ir.Value(name=name) for name in ("y", "x", "sizes"))
    node = helper.make_node("Expand", ["x", "sizes"], ["y"], "expand")
    arguments = [node], {x: np.ones(1)}, {sizes: np.array([20, 20])}, result, {"": 21}
    with pytest.raises(InvalidModelError, match=r"Expand node 'expand' .*400 elements"):
        evaluate.run_nodes(*arguments)
    monkeypatch.setenv("ONNXLRP_MAX_MEMORY", "1")
    assert evaluate.run_nodes(*arguments).shape == (20, 20)


def test_sizes_that_are_joined_to_themselves_are_not_carried_along(monkeypatch):
    nodes = [helper.make_node("Concat", [f"v{i}"] * 2, [f"v{i + 1}"], axis=0) for i in range(5)]
    read = ir.serde.deserialize_model(model([*nodes, helper.make_node("Relu", ["x"], ["y"])], {"v0": np.arange(4)}))
    assert propagation.is_small(read)
    monkeypatch.setattr(propagation, "_MOST", 200)
    assert not propagation.is_small(read)


def test_a_sparse_tensor_is_reckoned_as_it_unfolds(monkeypatch):
    monkeypatch.setenv("ONNXLRP_MAX_MEMORY", "0.0001")
    proto = model([helper.make_node("MatMul", ["x", "w"], ["y"])], {})
    values = numpy_helper.from_array(np.ones(1, np.float32), "w")
    indices = numpy_helper.from_array(np.array([3]), "i")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4, 50]))
    with pytest.raises(InvalidModelError, match=r"'w' asks for 200 elements"):
        onnxlrp.convert(proto)
