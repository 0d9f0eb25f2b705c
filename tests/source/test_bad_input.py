"""What cannot be read or explained: an error of ours, with what to do."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import InputError, InvalidModelError, NothingToExplainError, UnsupportedOperatorError
from tests.source.nets import info, model, network, nodes, weights


def test_a_truncated_file(tmp_path):
    path = tmp_path / "cut.onnx"
    path.write_bytes(network().SerializeToString()[:-700])
    with pytest.raises(InvalidModelError, match=r"cut\.onnx"):
        onnxlrp.convert(path)


@pytest.mark.parametrize("content", [b"", b"hello, this is no model\n", b"\x00" * 64], ids=["empty", "text", "zeros"])
def test_no_onnx_file(tmp_path, content):
    path = tmp_path / "no.onnx"
    path.write_bytes(content)
    with pytest.raises(InvalidModelError, match=r"no\.onnx"):
        onnxlrp.convert(path)
    with pytest.raises(InvalidModelError):
        onnxlrp.convert(content)


def test_no_file_at_all(tmp_path):
    with pytest.raises(InvalidModelError, match="absent"):
        onnxlrp.convert(tmp_path / "absent.onnx")
    with pytest.raises(InvalidModelError, match=r"folder|director"):
        onnxlrp.convert(tmp_path)


def test_no_model():
    with pytest.raises(InvalidModelError, match="int"):
        onnxlrp.convert(3)  # type: ignore[arg-type]


def test_an_empty_graph():
    with pytest.raises(InvalidModelError, match="no nodes"):
        onnxlrp.convert(model([], [info("x", [1])], [info("x", [1])]))


def test_a_cycle():
    """Its nodes are named."""
    circle = [helper.make_node("Add", ["x", "b"], ["a"], "first"), helper.make_node("Neg", ["a"], ["b"], "second")]
    with pytest.raises(InvalidModelError, match=r"cycle.*(first|second)"):
        onnxlrp.convert(model(circle, [info("x", [2])], [info("b", [2])]))


def test_a_value_that_nothing_computes():
    with pytest.raises(InvalidModelError, match="nowhere"):
        onnxlrp.convert(model([helper.make_node("Add", ["x", "nowhere"], ["y"])], [info("x", [2])], [info("y", [2])]))
    with pytest.raises(InvalidModelError, match="absent"):
        onnxlrp.convert(model([helper.make_node("Neg", ["x"], ["y"])], [info("x", [2])], [info("absent", [2])]))


def test_an_unknown_operator_of_onnx():
    """With the node, the operator and the opset."""
    node = helper.make_node("Frobnicate", ["x"], ["y"], "odd_one")
    with pytest.raises(InvalidModelError, match=r"odd_one.*ai\.onnx::Frobnicate.*21"):
        onnxlrp.convert(model([node], [info("x", [2])], [info("y", [2])]))


def test_unknown_operators_of_another_domain():
    """Every one at once, each with domain, version and node."""
    odd = [
        helper.make_node("Odd", ["x"], ["a"], "first", domain="my.domain"),
        helper.make_node("Odder", ["a"], ["y"], "second", domain="my.domain"),
    ]
    values = [info("a", ["N", 3])]
    opsets = [helper.make_opsetid("my.domain", 7)]
    proto = model(odd, [info("x", ["N", 3])], [info("y", ["N", 3])], value_info=values, opsets=opsets)
    with pytest.raises(UnsupportedOperatorError) as error:
        onnxlrp.convert(proto)
    assert error.value.nodes == ("second", "first")
    for text in ("my.domain::Odd ", "my.domain::Odder ", "opset 7", "'first'", "'second'", "@onnxlrp.operator"):
        assert text in str(error.value)


@pytest.mark.parametrize("behind", ["layers", "quantised", "written out"])
def test_unknown_operators_whose_outputs_have_no_known_rank(behind):
    """They are named, not the nodes behind that need to know it."""
    odd = helper.make_node("Odd", ["x"], ["a"], "first", domain="my.domain")
    rest = {
        "layers": [helper.make_node("Relu", ["a"], ["r"]), helper.make_node("GlobalAveragePool", ["r"], ["m"])],
        "quantised": [
            helper.make_node("QLinearLeakyRelu", ["a", "s", "z", "s", "z"], ["q"], domain="com.microsoft"),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["m"]),
        ],
        "written out": [helper.make_node("NhwcMaxPool", ["a"], ["m"], domain="com.microsoft", kernel_shape=[2, 2])],
    }[behind]
    last = helper.make_node("Flatten", ["m"], ["y"])
    constants = {"s": np.float32(0.1), "z": np.uint8(3)}
    opsets = [helper.make_opsetid("my.domain", 7), helper.make_opsetid("com.microsoft", 1)]
    values = [info("x", ["N", 3, 4, 4])], [info("y", ["N", 3])]
    with pytest.raises(UnsupportedOperatorError, match=r"my\.domain::Odd \(opset 7\), node 'first'") as error:
        onnxlrp.convert(model([odd, *rest, last], *values, constants, opsets=opsets))
    assert error.value.nodes == ("first",)


def test_names_that_do_not_exist():
    with pytest.raises(InputError, match=r"nonsense.*y, p"):
        onnxlrp.convert(network(), output="nonsense")
    with pytest.raises(InputError, match=r"nonsense.*x"):
        onnxlrp.convert(network(), inputs=["x", "nonsense"])


def test_no_floating_point_output():
    choice = [*nodes(), helper.make_node("ArgMax", ["y"], ["label"], axis=1)]
    proto = network()
    del proto.graph.node[:], proto.graph.output[:]
    proto.graph.node.extend(choice)
    proto.graph.output.append(info("label", ["N", 1], TensorProto.INT64))
    with pytest.raises(InvalidModelError, match=r"floating-point.*label"):
        onnxlrp.convert(proto)
    proto.graph.output.append(info("y", ["N", 3]))
    with pytest.raises(InputError, match="label"):
        onnxlrp.convert(proto, output="label")
    assert onnxlrp.convert(proto).interface.output == "y"


def test_relevance_that_stops():
    """Where, and why."""
    nodes = [
        helper.make_node("Round", ["x"], ["r"], "rounding"),
        helper.make_node("Cast", ["r"], ["i"], "to_ids", to=TensorProto.INT64),
        helper.make_node("Equal", ["i", "i"], ["e"], "comparing"),
        helper.make_node("Cast", ["e"], ["y"], "back", to=TensorProto.FLOAT),
    ]
    with pytest.raises(NothingToExplainError, match="y"):
        onnxlrp.convert(model(nodes, [info("x", ["N", 3])], [info("y", ["N", 3])]))


@pytest.mark.parametrize(
    "composite", ["no_such", "epsilon_gamma_box", "epsilon(1, 2)", "import os", "epsilon(", "missing.toml"]
)
def test_unknown_composites(composite):
    """The known ones are listed; nothing is evaluated."""
    with pytest.raises(InputError):
        onnxlrp.convert(network(), composite)


@pytest.mark.parametrize(
    "rule",
    ["NoSuchRule", "Gamma(-1)", "AlphaBeta(3, 1)", "Gamma(gamma=", "Epsilon(zero_params='all')", "Flat(3, 4, 5, 6)"],
)
def test_unknown_rules(rule):
    with pytest.raises(InputError):
        onnxlrp.convert(network(), rules=[("Conv", rule)], output="y")


def test_nothing_is_written(tmp_path):
    """Refusing leaves no file behind, neither does a folder that does not exist."""
    explained = onnxlrp.convert(network())
    with pytest.raises(InputError, match="no_such_folder"):
        explained.save(tmp_path / "no_such_folder" / "out.onnx")
    assert not list(tmp_path.iterdir())


def test_huge_dimensions_are_no_crash():
    """A graph that only a machine far larger could run is read all the same."""
    proto = model([helper.make_node("Neg", ["x"], ["y"])], [info("x", [1, 2**40])], [info("y", None)])
    assert onnxlrp.convert(proto, "epsilon").to_proto().graph.output


def test_targets_of_higher_rank_name_the_way_out():
    """A picture of scores."""
    proto = model(
        nodes()[:2], [info("x", ["N", 2, 6, 6])], [info("h1", None)], {k: v for k, v in weights().items() if k in "wb"}
    )
    with pytest.raises(onnxlrp.errors.TargetError, match=r"token.*weights"):
        onnxlrp.convert(proto)


@pytest.mark.parametrize("held", ["raw", "fields", "external"])
def test_weights_that_are_cut_short(tmp_path, held):
    """Named with what they need: a session would say so only when it is loaded, or read other weights."""
    weight = numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
    if held == "fields":
        weight = helper.make_tensor("w", TensorProto.FLOAT, [3, 2], np.ones(6))
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    proto = model([node], [info("x", ["N", 3])], [info("y", ["N", 2])], {})
    proto.graph.initializer.append(weight)
    path = tmp_path / "m.onnx"
    if held == "external":
        onnx.save(proto, path, save_as_external_data=True, location="w.bin", size_threshold=0)
        onnxlrp.convert(path)
        (tmp_path / "w.bin").write_bytes((tmp_path / "w.bin").read_bytes()[:20])
    else:
        onnxlrp.convert(proto)
        (stored,) = proto.graph.initializer
        if held == "raw":
            stored.raw_data = stored.raw_data[:20]
        else:
            del stored.float_data[5:]
        path.write_bytes(proto.SerializeToString())
    with pytest.raises(InvalidModelError, match=r"'w'.*\[3, 2\].*24"):
        onnxlrp.convert(path)


def test_where_all_relevance_ends_is_said():
    """A choice in front of everything makes no data: nothing behind it is a step."""
    nodes = [
        helper.make_node("Greater", ["x", "t"], ["more"], "choice"),
        helper.make_node("Cast", ["more"], ["one"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["one", "w"], ["y"]),
    ]
    constants = {"t": np.float32(0.5), "w": np.ones((3, 2), np.float32)}
    with pytest.raises(NothingToExplainError, match=r"'y' reaches none of the inputs: Greater 'choice': a comparison"):
        onnxlrp.convert(model(nodes, [info("x", ["N", 3])], [info("y", ["N", 2])], constants))
