"""What ONNX does not allow and is explained all the same is said in a note."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.source.observations import observations
from tests.source.valid.test_valid import branches, functions, loop, network


def names_in_a_body() -> onnx.ModelProto:
    proto = branches()
    graph = proto.graph.node[1].attribute[0].g
    graph.node.add(op_type="Identity", name=graph.node[0].name, input=["h"], output=["unread"])
    return proto


def names_in_a_function() -> onnx.ModelProto:
    proto = functions()
    body = proto.functions[0].node
    body.add(op_type="Identity", name=body[0].name, input=["a"], output=["unread"])
    return proto


def nothing_imported() -> onnx.ModelProto:
    proto = network()
    proto.opset_import[0].domain = "ai.onnx.ml"
    proto.opset_import[0].version = 3
    return proto


def an_old_file() -> onnx.ModelProto:
    proto = network()
    proto.ir_version = 3
    return proto


def an_operator_that_was_given_up() -> onnx.ModelProto:
    proto = network()
    scales = np.ones(2, np.float32)
    proto.graph.initializer.append(numpy_helper.from_array(scales, "scales"))
    proto.graph.node[1].CopyFrom(helper.make_node("Upsample", ["h", "scales"], ["a"], "larger"))
    return proto


def an_unsorted_body() -> onnx.ModelProto:
    proto = loop()
    nodes = proto.graph.node[0].attribute[0].g.node
    nodes.insert(0, helper.make_node("Identity", ["next"], ["seen"], "early"))
    return proto


def an_outer_value_handed_out() -> onnx.ModelProto:
    proto = branches()
    proto.graph.node[1].attribute[0].g.output[0].name = "h"
    return proto


def an_output_without_a_name() -> onnx.ModelProto:
    proto = loop()
    graph = proto.graph.node[0].attribute[0].g
    graph.output.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, None))
    proto.graph.node[0].output.append("")
    return proto


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (names_in_a_body, "2 nodes are called"),
        (names_in_a_function, "2 nodes are called 'inner'"),
        (nothing_imported, "does not import the operator set ai.onnx: its operators are read as version 21"),
        (an_operator_that_was_given_up, r"ai.onnx::Upsample (node 'larger') was given up before version 17"),
        (an_old_file, "of IR version 3, where initializers must be inputs, too: 'w' is none"),
        (an_unsorted_body, "the Identity node 'early' of a body is listed before a node that it reads from"),
        (an_outer_value_handed_out, "a body of the If node 'choice' returns 'h', a value of the graph around it"),
        (an_output_without_a_name, "an output of the Loop node 'loop' has no name"),
    ],
)
def test_a_note_says_it(make, words):
    assert any(words in note for note in observations(make()))


def test_notes_are_handed_on():
    for make in (names_in_a_body, names_in_a_function, nothing_imported, an_old_file, an_unsorted_body):
        assert set(observations(make())) <= set(onnxlrp.convert(make()).notes)


def test_nothing_is_said_of_what_is_right():
    for make in (network, branches, functions, loop):
        assert observations(make()) == []
