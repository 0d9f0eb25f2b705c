"""Models that contradict themselves are refused before any pass of onnx sees them, and the node is named."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import InvalidModelError
from onnxlrp.source import valid


def network(opset: int = 17) -> onnx.ModelProto:
    """A dense layer, a rectifier and a softmax."""
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["h"], "dense", transB=0),
        helper.make_node("Relu", ["h"], ["a"], "relu"),
        helper.make_node("Softmax", ["a"], ["y"], "softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.ones((4, 3), np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def branches() -> onnx.ModelProto:
    """A network whose rectifier is a branch."""
    proto = network()
    bodies = []
    for name in ("then", "else"):
        inner = helper.make_node("Relu", ["h"], [name], f"{name}_relu")
        bodies.append(helper.make_graph([inner], name, [], [helper.make_tensor_value_info(name, 1, None)]))
    node = helper.make_node("If", ["flag"], ["a"], "choice", then_branch=bodies[0], else_branch=bodies[1])
    proto.graph.node[1].CopyFrom(node)
    proto.graph.input.append(helper.make_tensor_value_info("flag", TensorProto.BOOL, [1]))
    return proto


def functions() -> onnx.ModelProto:
    """A network whose rectifier is a function of its own."""
    proto = network()
    body = [helper.make_node("Relu", ["a"], ["b"], "inner")]
    opsets = [helper.make_opsetid("", 17)]
    proto.functions.append(helper.make_function("my.own", "Cut", ["a"], ["b"], body, opsets))
    proto.opset_import.append(helper.make_opsetid("my.own", 1))
    proto.graph.node[1].CopyFrom(helper.make_node("Cut", ["h"], ["a"], "call", domain="my.own"))
    return proto


def refused(proto: onnx.ModelProto, words: str) -> None:
    with pytest.raises(InvalidModelError, match=words):
        onnxlrp.convert(proto)


def test_what_is_right_passes():
    for make in (network, branches, functions):
        valid.check(make())
        assert onnxlrp.convert(make()).interface.relevance == {"x": "x_relevance"}


def _retype(proto: onnx.ModelProto) -> None:
    proto.graph.node[2].attribute[0].CopyFrom(helper.make_attribute("axis", 1.0))


def _contradict(proto: onnx.ModelProto) -> None:
    proto.graph.node[2].attribute[0].f = 1.0


def _untyped(proto: onnx.ModelProto) -> None:
    proto.graph.node[2].attribute[0].type = AttributeProto.UNDEFINED


def _unknown(proto: onnx.ModelProto) -> None:
    proto.graph.node[1].attribute.append(helper.make_attribute("slope", 0.1))


def _twice(proto: onnx.ModelProto) -> None:
    proto.graph.node[2].attribute.append(helper.make_attribute("axis", 1))


def _one_operand(proto: onnx.ModelProto) -> None:
    del proto.graph.node[0].input[1]


def _three_operands(proto: onnx.ModelProto) -> None:
    proto.graph.node[1].input.extend(["w", "w"])


def _left_out(proto: onnx.ModelProto) -> None:
    proto.graph.node[0].input[1] = ""


def _no_output(proto: onnx.ModelProto) -> None:
    del proto.graph.node[1].output[:]


def _from_nowhere(proto: onnx.ModelProto) -> None:
    proto.graph.node[1].input[0] = "nowhere"


def _same_name(proto: onnx.ModelProto) -> None:
    proto.graph.node[1].output[0] = "h"


def _integers(proto: onnx.ModelProto) -> None:
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((4, 3), np.int64), "w"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_retype, r"Softmax node 'softmax' \(ai.onnx::Softmax, opset 17\): its attribute 'axis' is of type FLOAT"),
        (_contradict, r"'softmax'.*'axis' says that it is INT, and holds f and i"),
        (_untyped, r"'softmax'.*'axis' does not say what type"),
        (_unknown, r"Relu node 'relu'.*'slope', which the operator does not know"),
        (_twice, r"'softmax'.*two attributes 'axis'"),
        (_one_operand, r"Gemm node 'dense'.*has 1 inputs, and the operator takes 2 to 3"),
        (_three_operands, r"'relu'.*has 3 inputs, and the operator takes 1"),
        (_left_out, r"'dense'.*its input 'B' is left out"),
        (_no_output, r"'relu'.*no outputs"),
        (_from_nowhere, r"'relu'.*reads 'nowhere', which nothing computes"),
        (_same_name, r"'relu'.*'h' is the name of another value"),
        (_integers, r"'dense'.*'w' is tensor\(int64\), and must be tensor\(float\)"),
    ],
)
def test_a_node_that_contradicts_its_schema(change: Callable[[onnx.ModelProto], None], words: str):
    proto = network()
    change(proto)
    refused(proto, words)


@pytest.mark.parametrize(
    ("versions", "words"),
    [
        ({"opset": 99}, "version 99 of the operator set ai.onnx, which onnx .* knows up to"),
        ({"opset": 0}, "version 0 of the operator set"),
        ({"ir": 99}, "IR version is 99"),
        ({"opset": None}, "which operator set"),
    ],
)
def test_versions_that_do_not_exist(versions, words):
    proto = network()
    proto.ir_version = versions.get("ir", 8)
    if "opset" in versions:
        del proto.opset_import[:]
        if versions["opset"] is not None:
            proto.opset_import.append(helper.make_opsetid("", versions["opset"]))
    refused(proto, words)


def test_an_operator_that_came_later():
    proto = network(opset=13)
    proto.graph.node[1].op_type = "Gelu"
    refused(proto, r"'relu'.*from version 20 on only")


def test_tensors_that_contradict_themselves():
    proto = network()
    proto.graph.initializer[0].raw_data = b"1234"
    refused(proto, r"weights of 'w', of shape \[4, 3\], needs 48 bytes, and 4 are there")
    proto = network()
    proto.graph.initializer[0].dims[0] = -4
    refused(proto, r"'w'.*none can be negative")
    proto = network()
    proto.graph.initializer[0].data_type = 77
    refused(proto, r"'w'.*data type 77")


def test_names_that_are_no_text():
    raw = network().SerializeToString().replace(b"softmax", b"soft\xff\xfex")
    with pytest.raises(InvalidModelError, match="no UTF-8 text"):
        onnxlrp.convert(raw)


def test_bodies_that_do_not_fit():
    proto = branches()
    then = proto.graph.node[1].attribute[0].g
    then.output.append(then.output[0])
    refused(proto, r"If node 'choice'.*has 0 inputs and 2 outputs, and must have 0 and 1")
    proto = branches()
    proto.graph.node[1].attribute[0].g.node[0].input[0] = "nowhere"
    refused(proto, r"'.*_relu'.*reads 'nowhere'")
    proto = branches()
    del proto.graph.node[1].attribute[0]
    refused(proto, r"'choice'.*lacks the attribute")


def loop() -> onnx.ModelProto:
    """A Loop that goes on while its body says so."""
    body = helper.make_graph(
        [helper.make_node("Relu", ["h"], ["next"], "inner"), helper.make_node("Identity", ["go"], ["on"], "going")],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("h", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["two", "yes", "x"], ["y"], "loop", body=body)],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(np.array(2), "two"), numpy_helper.from_array(np.array(True), "yes")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_the_condition_of_a_loop_is_of_the_type_it_is_declared_of():
    proto = loop()
    assert onnxlrp.convert(proto).interface.output == "y"
    proto.graph.node[0].attribute[0].g.output[0].type.tensor_type.elem_type = TensorProto.INT64
    refused(proto, r"Loop node 'loop'.*its body declares 'on' as tensor\(int64\), and it is tensor\(bool\)")


@pytest.mark.parametrize(("name", "is_refused"), [("x", True), ("w", True), ("h", True), ("a", False), ("y", False)])
def test_names_of_values_around_a_body(name, is_refused):
    """A value of a branch may be called as one that comes after it, and as none that is there before."""
    proto = branches()
    graph = proto.graph.node[1].attribute[0].g
    graph.node.add(op_type="Identity", name="copy", input=graph.node[0].output, output=[name])
    if is_refused:
        refused(proto, f"Identity node 'copy'.*its output '{name}' is the name of another value")
    else:
        assert onnxlrp.convert(proto).interface.output == "y"


@pytest.mark.parametrize("name", ["h", "next"])
def test_a_body_that_hands_a_value_through_or_out_twice(name):
    proto = loop()
    proto.graph.node[0].attribute[0].g.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    proto.graph.node[0].output.append("all")
    assert onnxlrp.convert(proto).interface.output == "y"


def test_a_body_that_reads_what_its_node_computes():
    proto = branches()
    proto.graph.node[1].attribute[0].g.output[0].name = "a"
    refused(proto, "If node 'choice'.*it reads its own output 'a'")


def test_an_operator_set_that_is_not_imported():
    """Operators of runtimes may go without, others may not."""
    proto = network()
    proto.graph.node[1].domain = "com.microsoft"
    valid.check(proto)
    proto.graph.node[1].domain = "my.own"
    refused(proto, r"Relu node 'relu'.*the model imports no operator set 'my\.own'")


def test_trees_that_score_what_is_no_target():
    columns = {"featureids": [0], "modes": ["LEAF"], "values": [0.0], "truenodeids": [0], "falsenodeids": [0]}
    table = {f"nodes_{name}": values for name, values in {"treeids": [0], "nodeids": [0], **columns}.items()}
    leaves = {"target_treeids": [0], "target_nodeids": [0], "target_weights": [1.0]}
    for ids in ([1], [-1]):
        node = helper.make_node(
            *("TreeEnsembleRegressor", ["x"], ["y"], "trees"),
            **{**table, **leaves, "target_ids": ids, "n_targets": 1, "domain": "ai.onnx.ml"},
        )
        proto = network()
        del proto.graph.node[:]
        proto.graph.node.append(node)
        proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
        refused(proto, r"TreeEnsembleRegressor node 'trees'.*its target_ids are not all from 0 to 0")


def test_types_go_through_bodies():
    proto = branches()
    proto.graph.node[0].CopyFrom(helper.make_node("Cast", ["x"], ["h"], "cast", to=TensorProto.INT64))
    refused(proto, r"If node .choice.*body declares .* as tensor\(float\), and it is tensor\(int64\)")


def test_functions_that_call_themselves():
    proto = functions()
    proto.functions[0].node[0].op_type, proto.functions[0].node[0].domain = "Cut", "my.own"
    refused(proto, "call each other in a circle: 'Cut' → 'Cut'")
    proto = functions()
    proto.functions.append(proto.functions[0])
    refused(proto, "two functions 'Cut'")
    proto = functions()
    proto.graph.node[1].input.append("x")
    refused(proto, r"Cut node 'call'.*2 inputs")


def test_a_function_that_is_called_with_too_little():
    """What the function reads is left out then, and the operator inside needs it."""
    proto = functions()
    proto.graph.node[1].input[0] = ""
    refused(proto, "Relu.*'X' is left out")


def test_nodes_in_any_order():
    """Types and contradictions are found where the nodes are not sorted."""
    proto = network()
    proto.graph.node[2].attribute[0].i = 9
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in reversed(proto.graph.node)]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    refused(proto, r"Softmax node 'softmax' .*'axis' must be in \[-2 , 1\]")


def test_many_nodes_take_little_time():
    """A chain of ten thousand, in any order, is read once."""
    proto = network()
    links = [helper.make_node("Relu", [f"v{i}"], [f"v{i + 1}"], f"n{i}") for i in range(10_000)]
    proto.graph.node[2].input[0] = "v10000"
    proto.graph.node[1].output[0] = "v0"
    proto.graph.node.extend(reversed(links))
    valid.check(proto)
    proto.graph.node[-1].op_type = "Not"
    with pytest.raises(InvalidModelError, match=r"Not node 'n0'.*the operator takes tensor\(bool\)"):
        valid.check(proto)


@pytest.mark.parametrize("inside", [False, True])
def test_readers_of_what_a_function_body_makes(inside):
    """GroupNormalization has no inference but that of its body, which fails; the same inside a branch."""
    proto = network(21)
    norm = helper.make_node("GroupNormalization", ["folded", "ones", "ones"], ["normal"], num_groups=2)
    unfolded = helper.make_node("Reshape", ["normal", "back"], ["a"])
    if inside:
        kind = helper.make_tensor_value_info("a", TensorProto.FLOAT, None)
        then = helper.make_graph([norm, unfolded], "then", [], [kind])
        other = helper.make_graph(
            [helper.make_node("Identity", ["h"], ["a2"])],
            "else",
            [],
            [helper.make_tensor_value_info("a2", TensorProto.FLOAT, None)],
        )
        choice = helper.make_node("If", ["flag"], ["a"], then_branch=then, else_branch=other)
        proto.graph.input.append(helper.make_tensor_value_info("flag", TensorProto.BOOL, [1]))
    proto.graph.node[1].CopyFrom(helper.make_node("Reshape", ["h", "rows"], ["folded"]))
    for index, node in enumerate([choice] if inside else [norm, unfolded]):
        proto.graph.node.insert(2 + index, node)
    constants = {"ones": np.ones(4, np.float32), "rows": np.array([-1, 4, 3]), "back": np.array([-1, 3])}
    proto.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    assert onnxlrp.convert(proto).interface.relevance == {"x": "x_relevance"}


@pytest.mark.parametrize("operator", ["Scaler", "Normalizer", "SVMRegressor"])
def test_readers_of_what_onnx_infers_no_type_for(operator):
    """A network of dense layers downstream of a scaler, as scikit-learn's converters write it."""
    attributes = {
        "Scaler": {"offset": [0.0], "scale": [2.0]},
        "Normalizer": {"norm": "L2"},
        "SVMRegressor": {"coefficients": [1.0] * 4, "rho": [0.0], "kernel_type": "LINEAR"},
    }
    proto = network()
    node = helper.make_node(operator, ["x"], ["scaled"], domain="ai.onnx.ml", **attributes[operator])
    proto.graph.node.insert(0, node)
    proto.graph.node[1].input[0] = "scaled"
    proto.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    if operator == "SVMRegressor":
        proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((1, 3), np.float32), "w"))
    assert onnxlrp.convert(proto).interface.relevance == {"x": "x_relevance"}


@pytest.mark.parametrize(("kind", "said"), [(TensorProto.DOUBLE, True), (TensorProto.FLOAT, False)])
def test_floats_of_another_width_are_said(kind, said):
    """onnx's evaluator computes with them; onnxruntime loads no such model."""
    x, y = (helper.make_tensor_value_info(name, kind, ["N", 3]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Celu", ["x"], ["y"], name="bend")], "g", [x], [y])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    assert [("'bend'" in note, "does not load such a model" in note) for note in valid.check(proto)] == [
        (True, True)
    ] * said
