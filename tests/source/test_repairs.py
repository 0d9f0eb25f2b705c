"""What a model says twice is settled as onnxruntime does, and said in a note."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import InvalidModelError
from tests.operators.case import onnxruntime
from tests.source.nets import unchanging


def test_the_later_initializer_counts():
    proto = unchanging()
    proto.graph.initializer.append(numpy_helper.from_array(2 * np.eye(2, dtype=np.float32), "w"))
    explained = onnxlrp.convert(proto)
    assert any("two initializers are called 'w'" in note for note in explained.notes)
    x = np.array([[1, 2]], np.float32)
    for model in (proto, explained.to_proto()):
        np.testing.assert_array_equal(onnxruntime(model)({"x": x})["y"], 2 * x)


def test_the_later_operator_set_counts():
    proto = unchanging()
    proto.opset_import.append(helper.make_opsetid("", 13))
    assert any("the later version, 13, counts" in note for note in onnxlrp.convert(proto).notes)


def test_nodes_of_one_name():
    proto = unchanging()
    proto.graph.node.append(helper.make_node("Relu", ["y"], ["z"], "dense"))
    proto.graph.output[0].name = "z"
    assert any("2 nodes are called 'dense'" in note for note in onnxlrp.convert(proto).notes)


def test_an_input_that_is_an_output():
    """The input's declaration is the one that holds."""
    proto = unchanging()
    proto.graph.output.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [7, 9]))
    explained = onnxlrp.convert(proto, output="y")
    assert [d.dim_value for d in explained.to_proto().graph.input[0].type.tensor_type.shape.dim] == [0, 2]
    assert any("'x' is an input or initializer" in note for note in explained.notes)


def test_an_initializer_that_is_an_input_without_a_type():
    proto = unchanging()
    proto.graph.input.add(name="w")
    assert list(onnxlrp.convert(proto).interface.relevance) == ["x"]


def test_an_initializer_that_is_an_input_twice():
    proto = unchanging()
    proto.graph.input.extend([helper.make_tensor_value_info("w", TensorProto.FLOAT, [2, 2])] * 2)
    explained = onnxlrp.convert(proto)
    assert [value.name for value in explained.to_proto().graph.input][:1] == ["x"]
    assert any("two inputs are called 'w'" in note for note in explained.notes)
    proto.graph.input.append(proto.graph.input[0])
    with pytest.raises(InvalidModelError, match="two inputs are called 'x'"):
        onnxlrp.convert(proto)


def test_a_recurrent_cell_without_its_size():
    """The weights tell it, so that the explained model loads where the source does not."""
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(1, 12, 2)), "r": rng.normal(size=(1, 12, 3))}
    graph = helper.make_graph(
        [helper.make_node("LSTM", ["x", "w", "r"], ["", "h"], "lstm"), helper.make_node("ReduceSum", ["h"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, "N", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    explained = onnxlrp.convert(proto)
    assert any("'lstm' does not give its hidden_size: its weights have 3" in note for note in explained.notes)
    found = onnxruntime(explained.to_proto())({"x": np.ones((5, 1, 2), np.float32)})
    proto.graph.node[0].attribute.append(helper.make_attribute("hidden_size", 3))
    np.testing.assert_allclose(found["y"], onnxruntime(proto)({"x": np.ones((5, 1, 2), np.float32)})["y"], rtol=1e-6)


def test_a_file_older_than_operator_sets():
    proto = unchanging()
    proto.ir_version = 1
    assert onnxlrp.convert(proto).interface.output == "y"
