"""Each pass of the portable profile by itself: what it writes, and that the numbers stay."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import InputError
from onnxlrp.finish.portable.lowered_opset import lower_opset
from onnxlrp.source.read import read
from tests.finish.portable.test_portable_models import banned, nodes

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
RNG = np.random.default_rng(0)


def model(made, inputs, outputs, constants=None, opset=17) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    ports = [
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in of.items()]
        for of in (inputs, outputs)
    ]
    domains = {node.domain for node in made} | {""}
    opsets = [helper.make_opsetid(d, opset if d == "" else 3) for d in sorted(domains)]
    graph = helper.make_graph(made, "model", *ports, tensors)
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def node(op_type, inputs, outputs, **attributes) -> onnx.NodeProto:
    return helper.make_node(op_type, inputs.split(), outputs.split(), f"{op_type}_{outputs}", **attributes)


def drawn(*shape) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def both(proto: onnx.ModelProto, feeds: dict[str, np.ndarray], composite="epsilon", **options) -> onnx.ModelProto:
    """Convert under both profiles, compare all outputs, and return the portable file."""
    explained = [
        onnxlrp.convert(proto, composite, target_input="required", profile=profile, **options)
        for profile in ("onnxruntime", "portable")
    ]
    batch = len(next(iter(feeds.values())))
    interface = explained[0].interface
    asked = {name: np.zeros(batch, np.int64) for name in interface.added_inputs.values()}
    runs = []
    for one in explained:
        session = onnxruntime.InferenceSession(one.to_proto().SerializeToString(), providers=["CPUExecutionProvider"])
        runs.append(session.run(list(interface.relevance.values()), {**feeds, **asked}))
    for expected, found in zip(*runs, strict=True):
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    portable = explained[1].to_proto()
    assert not banned(portable)
    return portable


def test_a_square_weight_and_its_transpose_are_two_constants():
    weights = {"V": drawn(6, 6), "W": drawn(6, 6), "b": drawn(6)}
    made = [
        node("Gemm", "x V b", "h", transB=1),
        node("Relu", "h", "a"),
        node("Gemm", "a W", "y", transB=1),
    ]
    proto = model(made, {"x": (FLOAT, ["N", 6])}, {"y": (FLOAT, ["N", 6])}, weights)
    portable = both(proto, {"x": drawn(3, 6)})
    stored = [numpy_helper.to_array(t) for t in portable.graph.initializer]
    for weight in (weights["V"], weights["W"]):
        assert any(array.shape == (6, 6) and np.array_equal(array, -weight) for array in stored)


def test_modified_weights_are_constants_of_the_file():
    weights = {"W": drawn(4, 3, 3, 3), "V": drawn(36, 2)}
    made = [node("Conv", "x W", "c"), node("Relu", "c", "a"), node("Flatten", "a", "f"), node("MatMul", "f V", "y")]
    proto = model(made, {"x": (FLOAT, ["N", 3, 5, 5])}, {"y": (FLOAT, ["N", 2])}, weights)
    portable = both(proto, {"x": drawn(2, 3, 5, 5)}, "epsilon_plus")
    fixed = {t.name for t in portable.graph.initializer}
    assert not [n.op_type for n, _ in nodes(portable.graph) if n.input and all(i in fixed for i in n.input)]


def test_sums_over_axes_that_only_the_run_knows_name_none():
    made = [node("Mul", "x g", "p"), node("ReduceSum", "p axes", "y", keepdims=0)]
    inputs = {"x": (FLOAT, ["N", "K", 3]), "g": (FLOAT, ["N", "one", 3])}
    proto = model(made, inputs, {"y": (FLOAT, ["N", 3])}, {"axes": np.array([1])})
    for size in (1, 4):
        both(proto, {"x": drawn(2, 4, 3), "g": drawn(2, size, 3)})


@pytest.mark.parametrize("length", [5, "T"])
def test_loops_are_written_out_or_see_nothing_around_them(length):
    weights = {"W": drawn(1, 16, 3), "R": drawn(1, 16, 4), "B": drawn(1, 32), "V": drawn(4, 2), "one": np.array([1])}
    made = [
        node("LSTM", "x W R B", "Y h", hidden_size=4),
        node("Squeeze", "h zero", "s"),
        node("MatMul", "s V", "y"),
    ]
    weights["zero"] = np.array([0])
    proto = model(made, {"x": (FLOAT, [length, "N", 3])}, {"y": (FLOAT, ["N", 2])}, weights)
    x = drawn(5, 2, 3)
    scans = [n for n, _ in nodes(both_along_time(proto, x).graph) if n.op_type == "Scan"]
    assert bool(scans) == (length == "T")


def both_along_time(proto: onnx.ModelProto, x: np.ndarray) -> onnx.ModelProto:
    class Samples(dict):
        """Feeds whose batch lies on axis 1."""

    feeds = Samples(x=x)
    feeds.values = lambda: [x.transpose(1, 0, 2)]  # type: ignore[method-assign]
    return both(proto, feeds)


def test_tokens_are_gathered_from_a_flat_list():
    weights = {"E": drawn(7, 4), "V": drawn(4, 7)}
    made = [node("Gather", "E ids", "e"), node("Tanh", "e", "t"), node("MatMul", "t V", "y")]
    proto = model(made, {"ids": (INT64, ["N", "T"])}, {"y": (FLOAT, ["N", "T", 7])}, weights)
    both(proto, {"ids": RNG.integers(0, 7, (2, 3))}, target="token")


def test_scores_take_the_place_of_maps():
    weights = {"W": drawn(3, 2)}
    made = [
        node("MatMul", "x W", "scores"),
        node("ArgMax", "scores", "label", axis=1, keepdims=0),
        helper.make_node("ZipMap", ["scores"], ["maps"], domain="ai.onnx.ml", classlabels_int64s=[3, 5]),
    ]
    proto = model(made, {"x": (FLOAT, ["N", 3])}, {"label": (INT64, ["N"])}, weights)
    value = helper.make_sequence_type_proto(helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, [])))
    proto.graph.output.append(helper.make_value_info("maps", value))
    explained = onnxlrp.convert(proto, "epsilon", profile="portable")
    assert [v.name for v in explained.to_proto().graph.output][:2] == ["label", "maps"]
    assert any("'maps' is a tensor of scores" in note for note in explained.notes)
    x = drawn(2, 3)
    explanation = onnxlrp.Explainer(explained)({"x": x}, target=1)
    np.testing.assert_allclose(explanation.outputs["maps"], x @ weights["W"], rtol=1e-5)
    np.testing.assert_allclose(explanation.relevance["x"], x * weights["W"][:, 1], rtol=1e-4)


OLDER = {
    "Gelu": (node("Gelu", "x", "y"), {}),
    "Gelu by tanh": (node("Gelu", "x", "y", approximate="tanh"), {}),
    "Mish": (node("Mish", "x", "y"), {}),
    "ReduceMax": (node("ReduceMax", "x a", "y", keepdims=1), {"a": np.array([-1])}),
    "ReduceMean of all": (node("ReduceMean", "x", "y"), {}),
    "Split": (node("Split", "x", "y z", axis=1, num_outputs=2), {}),
    "Split unequally": (node("Split", "x", "y z", axis=0, num_outputs=2), {}),
    "Pad": (node("Pad", "x p n a", "y"), {"p": np.array([1, 2]), "n": np.float32(3), "a": np.array([-1])}),
    "Resize": (node("Resize", "x  s", "y", mode="linear"), {"s": np.array([1, 1, 2.5], np.float32)}),
    "AveragePool": (node("AveragePool", "x", "y", kernel_shape=[2], dilations=[1]), {}),
    "Cast": (node("Cast", "x", "y", to=TensorProto.DOUBLE, saturate=1), {}),
}


@pytest.mark.parametrize("name", OLDER)
def test_an_operator_in_opset_17_computes_the_same(name):
    made, constants = OLDER[name]
    if name == "Resize":
        made = helper.make_node("Resize", ["x", "", "s"], ["y"], mode="linear")
    outputs = dict.fromkeys(made.output, (None, None))
    proto = model([made], {"x": (FLOAT, [3, 4, 6])}, {}, constants, opset=20)
    for output in outputs:
        proto.graph.output.append(helper.make_tensor_value_info(output, FLOAT if name != "Cast" else 11, None))
    proto.ir_version = 9
    source = read(proto)
    x = {"x": drawn(3, 4, 6)}
    expected = onnxruntime.InferenceSession(proto.SerializeToString()).run(None, x)
    assert lower_opset(source.model) == []
    lowered = onnx.ModelProto.FromString(onnx_bytes(source.model))
    assert [(o.domain, o.version) for o in lowered.opset_import] == [("", 17)]
    onnx.checker.check_model(lowered, full_check=True)
    found = onnxruntime.InferenceSession(lowered.SerializeToString()).run(None, x)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)


def onnx_bytes(loaded) -> bytes:
    import onnx_ir as ir

    return ir.serde.serialize_model(loaded).SerializeToString()


def test_an_operator_that_opset_17_lacks_keeps_the_opset_and_a_note_says_so():
    made = [node("MatMul", "x W", "y"), node("BitwiseNot", "ids", "n")]
    inputs, outputs = {"x": (FLOAT, ["N", 3]), "ids": (INT64, ["N"])}, {"y": (FLOAT, ["N", 2]), "n": (INT64, ["N"])}
    proto = model(made, inputs, outputs, {"W": drawn(3, 2)}, opset=18)
    explained = onnxlrp.convert(proto, "epsilon", profile="portable")
    assert any("stays at opset 21" in n and "BitwiseNot" in n for n in explained.notes)


def test_an_unknown_profile_is_refused_by_name():
    made = [node("MatMul", "x W", "y")]
    proto = model(made, {"x": (FLOAT, ["N", 3])}, {"y": (FLOAT, ["N", 2])}, {"W": drawn(3, 2)})
    with pytest.raises(InputError, match="did you mean 'portable'"):
        onnxlrp.convert(proto, profile="portabel")


def test_targets_are_required_unless_there_are_none():
    made = [node("MatMul", "x W", "y")]
    proto = model(made, {"x": (FLOAT, ["N", 3])}, {"y": (FLOAT, ["N", 2])}, {"W": drawn(3, 2)})
    assert onnxlrp.convert(proto, profile="portable").interface.required
    assert onnxlrp.convert(proto, profile="portable", target_input="none").interface.target_input is None


def test_ramps_need_no_hard_sigmoid():
    weights = {"W": drawn(4, 3, 3, 3), "V": drawn(36, 2)}
    made = [node("Conv", "x W", "c"), node("Relu", "c", "a"), node("Flatten", "a", "f"), node("MatMul", "f V", "y")]
    proto = model(made, {"x": (FLOAT, ["N", 3, 5, 5])}, {"y": (FLOAT, ["N", 2])}, weights)
    portable = both(proto, {"x": drawn(2, 3, 5, 5)}, "epsilon(stabiliser='clamp')")
    assert "HardSigmoid" not in {n.op_type for n, _ in nodes(portable.graph)}


def test_states_are_the_first_operands_inside_of_loops():
    weights = {"W": drawn(1, 16, 3), "R": drawn(1, 16, 4), "V": drawn(4, 2), "zero": np.array([0])}
    made = [node("LSTM", "x W R", "Y h", hidden_size=4), node("Squeeze", "h zero", "s"), node("MatMul", "s V", "y")]
    proto = model(made, {"x": (FLOAT, ["T", "N", 3])}, {"y": (FLOAT, ["N", 2])}, weights)
    portable = onnxlrp.convert(proto, "epsilon", profile="portable").to_proto()
    scans = [n for n, _ in nodes(portable.graph) if n.op_type == "Scan"]
    assert scans
    for scan in scans:
        (body,) = [a.g for a in scan.attribute if a.name == "body"]
        (slices,) = [a.i for a in scan.attribute if a.name == "num_scan_inputs"]
        carried = {v.name for v in list(body.input)[: len(body.input) - slices]}
        for inner in body.node:
            if inner.op_type in ("Add", "Mul") and carried & set(inner.input):
                assert inner.input[0] in carried, inner
            if carried & set(inner.input):
                carried |= set(inner.output)


def test_relevance_multiplies_by_nothing_that_looks_like_a_gelu():
    weights = {"W": drawn(3, 4), "V": drawn(4, 2), "root": np.float32(np.sqrt(2)), "one": np.float32(1)}
    weights["half"] = np.float32(0.5)
    made = [node("MatMul", "x W", "z"), node("Div", "z root", "u"), node("Erf", "u", "e"), node("Add", "e one", "f")]
    made += [node("Mul", "z f", "p"), node("Mul", "p half", "g"), node("MatMul", "g V", "y")]
    proto = model(made, {"x": (FLOAT, ["N", 3])}, {"y": (FLOAT, ["N", 2])}, weights)
    for composite in ("epsilon", "epsilon_plus", "attn_lrp"):
        portable = both(proto, {"x": drawn(2, 3)}, composite)
        assert [n.op_type for n in portable.graph.node if "p" in n.input] == ["Mul"]
