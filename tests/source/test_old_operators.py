"""Operators of older opsets: the lifted model gives what onnxruntime makes of the file, in bodies and functions too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import onnxlrp
from onnxlrp.errors import InvalidModelError

X = np.random.default_rng(0).normal(size=(1, 2, 4, 3)).astype(np.float32)
SCALES = [(1, 1, 1.5, 5 / 3), (1, 1, 2, 0.5), (1, 1, 0.6, 0.34), (1, 2, 3.3, 0.7)]
SHAPE = ["N", 2, "H", "W"]


def info(name: str, shape: Sequence[int | str] | None, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def build(nodes, opset: int, inputs, outputs=("y",), constants=None, **options: Any) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "old",
        inputs,
        [info(name, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), *options.pop("opsets", ())]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, **options)


def run(model: onnx.ModelProto, feeds: dict[str, Any]) -> dict[str, Any]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True))


def check(model: onnx.ModelProto, feeds: dict[str, Any], wanted: dict[str, Any] | None = None) -> onnx.ModelProto:
    """The explained model, whose outputs are the source's."""
    explained = onnxlrp.convert(model, "epsilon", target="weights").to_proto()
    wanted = run(model, feeds) if wanted is None else wanted
    found = run(explained, feeds)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
    return explained


def node(op: str, inputs: Sequence[str], outputs: Sequence[str] = ("y",), **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, outputs, f"{op}_{outputs[0]}", **attributes)


@pytest.mark.parametrize("scales", SCALES, ids=str)
@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("known", [True, False], ids=["constant", "fed"])
def test_resizing(known, mode, scales):
    """Scales known from the file or only at run time, that grow along one axis and shrink along another."""
    scales = np.float32(scales if mode == "nearest" else (1, 1, *scales[2:]))
    resize = node("Resize", ["x", "s"], mode=mode)
    if known:
        explained = check(build([resize], 10, [info("x", SHAPE)], constants={"s": scales}), {"x": X})
    else:
        explained = check(build([resize], 10, [info("x", SHAPE), info("s", [4])]), {"x": X, "s": scales})
    both = mode == "nearest" and (not known or (scales.max() > 1 and scales.min() < 1))
    assert sum(n.op_type == "Resize" and not n.name.startswith("lrp") for n in explained.graph.node) == 1 + both


@pytest.mark.parametrize("shape", [X.shape, SHAPE], ids=["declared", "open"])
def test_sizes_are_rounded_as_runtimes_do(shape):
    """3 · 5/3 is 5 of float32 numbers; onnx infers 4, and 6 downstream of that."""
    scales = {"s": np.float32([1, 1, 1, 5 / 3])}
    nodes = [node("Resize", ["x", "", "s"], ["h"]), node("Resize", ["h", "", "s"], ["g"]), node("Flatten", ["g"])]
    explained = check(build(nodes, 21, [info("x", shape)], constants=scales), {"x": X})
    assert run(explained, {"x": X})["x_relevance"].shape == X.shape


@pytest.mark.parametrize("opset", [7, 9])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsampling(mode, opset):
    scales = (1.0, 1.0, 1.5, 5 / 3)
    if opset == 7:
        check(build([node("Upsample", ["x"], mode=mode, scales=scales)], 7, [info("x", SHAPE)]), {"x": X})
    else:
        given = {"s": np.float32(scales)}
        check(build([node("Upsample", ["x", "s"], mode=mode)], 9, [info("x", SHAPE)], constants=given), {"x": X})


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [None, 0, 2, 3, -1, -2])
@pytest.mark.parametrize("ranked", [True, False], ids=["ranked", "of any rank"])
def test_over_all_axes_that_follow(op, axis, ranked):
    over = node(op, ["h"], ["s"], **({} if axis is None else {"axis": axis}))
    nodes = [node("Reshape", ["x", "shape"], ["h"]), over, node("Mul", ["s", "x"])]
    inputs = [info("x", SHAPE), info("shape", [4] if ranked else ["R"], TensorProto.INT64)]
    check(build(nodes, 11, inputs), {"x": X, "shape": np.int64(X.shape)})


def test_bounds_that_are_left_out_are_the_largest_numbers():
    x = np.float32([[1, -2, np.inf, -np.inf, np.nan]])
    for bounds in ({}, {"min": 0.5}, {"max": 0.5}):
        check(build([node("Clip", ["x"], **bounds)], 10, [info("x", [1, 5])]), {"x": x})


def test_dropout_gives_its_mask():
    for opset in (7, 10):
        model = build([node("Dropout", ["x"], ["y", "m"], ratio=0.3)], opset, [info("x", SHAPE)])
        kind = TensorProto.FLOAT if opset < 10 else TensorProto.BOOL
        model.graph.output.append(info("m", None, kind))
        check(model, {"x": X})


def test_normalisation_element_by_element():
    rng = np.random.default_rng(1)
    constants = {name: rng.uniform(0.5, 1, size=X.shape[1:]).astype(np.float32) for name in "sbmv"}
    normalise = node("BatchNormalization", ["x", *"sbmv"], spatial=0, epsilon=0.1)
    check(build([normalise], 7, [info("x", X.shape)], constants=constants), {"x": X})


def test_running_statistics_are_refused():
    constants = {name: np.ones(2, np.float32) for name in "sbmv"}
    normalise = node("BatchNormalization", ["x", *"sbmv"], ["y", "mean", "var", "saved", "saved_var"])
    with pytest.raises(InvalidModelError, match=r"node 'BatchNormalization_y' .*export the model for inference"):
        onnxlrp.convert(build([normalise], 9, [info("x", X.shape)], ["y", "mean"], constants))


def test_an_operand_that_is_placed_along_an_axis_is_refused():
    """Only opsets that no runtime runs any more have this, and onnx's converter places it along another."""
    add = node("Add", ["x", "c"], axis=1, broadcast=1)
    with pytest.raises(InvalidModelError, match=r"Add node 'Add_y' places an operand along an axis.*export"):
        onnxlrp.convert(build([add], 6, [info("x", X.shape)], constants={"c": np.float32([1, 2])}))


@pytest.mark.parametrize("channels", [4, "C"])
def test_groups_have_a_scale_each(channels):
    """onnxruntime has no GroupNormalization of opset 18; ONNX's own evaluator has."""
    x = np.random.default_rng(2).normal(size=(2, 4, 3)).astype(np.float32)
    constants = {"s": np.float32([1, 2]), "b": np.float32([0.5, -1])}
    normalise = node("GroupNormalization", ["x", "s", "b"], num_groups=2)
    model = build([normalise], 18, [info("x", ["N", channels, 3])], constants=constants)
    check(model, {"x": x}, {"y": ReferenceEvaluator(model).run(None, {"x": x})[0]})


# ------------------------------------------------------------------------------------------------ bodies and functions


def old_nodes(x: str, y: str) -> list[onnx.NodeProto]:
    """Nodes of opset 10 that all have another form or another meaning now."""
    return [
        node("Slice", [x, "zero", "two", "last"], ["sliced"]),
        node("Unsqueeze", ["sliced"], ["one_more"], axes=[0]),
        node("Squeeze", ["one_more"], ["squeezed"], axes=[0]),
        node("Pad", ["squeezed"], ["padded"], pads=[0, 0, 0, 0, 0, 0, 0, 1], value=0.5),
        node("Resize", ["padded", "scales"], ["resized"], mode="linear"),
        node("Hardmax", ["resized"], ["winners"], axis=2),
        node("Mul", ["winners", "resized"], ["product"]),
        node("Clip", ["product"], [y], min=-0.5, max=0.75),
    ]


CONSTANTS = {
    "zero": np.int64([0]),
    "two": np.int64([2]),
    "last": np.int64([3]),
    "scales": np.float32([1, 1, 1.5, 1.7]),
}


def branch(name: str, nodes: Sequence[onnx.NodeProto], outputs: Sequence[onnx.ValueInfoProto], inputs=()) -> Any:
    return helper.make_graph(nodes, name, inputs, outputs)


def test_in_the_branches_of_an_if():
    other = [
        node("Slice", ["x", "zero", "two", "last"], ["cut"]),
        node("Pad", ["cut"], ["longer"], pads=[0, 0, 0, 0, 0, 0, 0, 1], mode="edge"),
        node("Resize", ["longer", "scales"], ["e"], mode="nearest"),
    ]
    branches = {
        "then_branch": branch("then", old_nodes("x", "t"), [info("t", None)]),
        "else_branch": branch("else", other, [info("e", None)]),
    }
    model = build(
        [node("If", ["c"], **branches)], 10, [info("x", X.shape), info("c", [], TensorProto.BOOL)], (), CONSTANTS
    )
    model.graph.output.append(info("y", None))
    for c in (True, False):
        check(model, {"x": X, "c": np.asarray(c)})


def test_in_the_body_of_a_loop():
    flags = [info("i", [], TensorProto.INT64), info("on", [], TensorProto.BOOL), info("h", SHAPE)]
    step = [*old_nodes("x", "t"), node("ReduceMax", ["t"], ["peak"])]
    step += [node("Mul", ["h", "peak"], ["g"]), node("Identity", ["on"], ["more"])]
    body = branch("step", step, [info("more", [], TensorProto.BOOL), info("g", SHAPE)], flags)
    loop = node("Loop", ["three", "", "x"], body=body)
    model = build([loop], 10, [info("x", X.shape)], constants={**CONSTANTS, "three": np.int64(3)})
    check(model, {"x": X})


@pytest.mark.parametrize("opset", [8, 10])
def test_in_the_body_of_a_scan(opset):
    """That of opset 8 has a batch, and what it holds is of opset 8 too."""
    step = [node("Unsqueeze", ["x_t"], ["u"], axes=[0]), node("Hardmax", ["u"], ["w"], axis=1)]
    step += [node("ReduceSum", ["w"], ["r"], axes=[0], keepdims=0), node("Mul", ["r", "x_t"], ["p"])]
    step += [node("Clip", ["p"], ["q"], max=1.0), node("Add", ["q", "s"], ["s_out"]), node("Identity", ["q"], ["y_t"])]
    shape = [4, 3]
    body = branch("step", step, [info("s_out", shape), info("y_t", shape)], [info("s", shape), info("x_t", shape)])
    lead = [""] if opset == 8 else []
    scan = node("Scan", [*lead, "s0", "x"], ["s_end", "y"], body=body, num_scan_inputs=1)
    x = np.random.default_rng(3).normal(size=(2, 5, 4, 3)).astype(np.float32)
    inputs = [info("s0", [2, 4, 3] if opset == 8 else shape), info("x", list(x.shape if opset == 8 else x.shape[1:]))]
    model = build([scan], opset, inputs, ["s_end", "y"])
    start = np.ones([2, 4, 3], np.float32)
    check(model, {"s0": start, "x": x} if opset == 8 else {"s0": start[0], "x": x[0]})


def in_functions(body: Sequence[onnx.NodeProto], inner: int, outer: int, main: int) -> onnx.ModelProto:
    """A function of these nodes, called by another, which the model calls; each of its own opset."""
    local = helper.make_opsetid("local", 1)
    first = helper.make_function("local", "First", ["i"], ["o"], body, [helper.make_opsetid("", inner)])
    calls = [helper.make_node("First", ["i"], ["f"], domain="local"), node("Mul", ["f", "i"], ["o"])]
    second = helper.make_function("local", "Second", ["i"], ["o"], calls, [helper.make_opsetid("", outer), local])
    call = [helper.make_node("Second", ["x"], ["y"], domain="local")]
    return build(call, main, [info("x", X.shape)], functions=[first, second], opsets=[local])


@pytest.mark.parametrize("opsets", [(11, 13, 17), (17, 13, 11), (10, 17, 12)], ids=str)
def test_a_function_of_another_opset_is_what_onnxruntime_makes_of_it(opsets):
    """It takes the nodes for such of the model's opset."""
    model = in_functions([node("Hardmax", ["i"], ["h"]), node("Softmax", ["h"], ["o"])], *opsets)
    check(model, {"x": X})
    plan = onnxlrp.convert(model, "epsilon", target="weights").plan
    assert any("as of the model's" in note for note in plan.notes)


@pytest.mark.parametrize("main", [13, 17, 21])
def test_a_function_that_only_its_own_opset_can_say(main):
    """onnxruntime refuses it; lifted from the opset of the function, it is what it says there."""
    body = [
        node("Unsqueeze", ["i"], ["u"], axes=[0]),
        node("Hardmax", ["u"], ["h"]),
        node("Squeeze", ["h"], ["o"], axes=[0]),
    ]
    model = in_functions(body, 11, 13, main)
    plain = build([*body, node("Mul", ["o", "i"])], 11, [info("i", X.shape)])
    check(model, {"x": X}, run(plain, {"i": X}))


# ---------------------------------------------------------------------------------------------- newer than opset 21


@pytest.mark.parametrize(("kind", "opset"), [(TensorProto.FLOAT16, 21), (TensorProto.INT32, 21)])
def test_an_attribute_that_changes_nothing_is_taken_off(kind, opset):
    """`round_mode` speaks of a type that opset 21 lacks."""
    nodes = [node("Cast", ["x"], ["h"], to=kind, round_mode="nearest"), node("Cast", ["h"], to=TensorProto.FLOAT)]
    explained = onnxlrp.convert(
        build([*nodes, node("Abs", ["x"], ["a"])], 24, [info("x", SHAPE)], ["y", "a"]), output="a", target="weights"
    )
    assert explained.to_proto().opset_import[0].version == opset


def test_an_attribute_that_opset_21_lacks_keeps_the_opset():
    nodes = [node("QuantizeLinear", ["x", "s"], ["q"], precision=TensorProto.FLOAT, output_dtype=TensorProto.INT8)]
    nodes.append(node("DequantizeLinear", ["q", "s"]))
    explained = check(build(nodes, 23, [info("x", SHAPE)], constants={"s": np.float32(0.1)}), {"x": X})
    assert explained.opset_import[0].version == 23


def test_cast_like_keeps_what_it_says_of_large_numbers():
    like = helper.make_tensor("like", TensorProto.FLOAT8E4M3FN, [1], b"\0", raw=True)
    nodes = [node("CastLike", ["x", "like"], ["h"], saturate=0), node("Cast", ["h"], to=TensorProto.FLOAT)]
    model = build([*nodes, node("Abs", ["x"], ["a"])], 21, [info("x", SHAPE)], ["y", "a"])
    model.graph.initializer.append(like)
    explained = onnxlrp.convert(model, "epsilon", target="weights", output="a").to_proto()
    x = 1e6 * X
    np.testing.assert_array_equal(run(explained, {"x": x})["y"], run(model, {"x": x})["y"])


def test_a_sequence_that_the_file_does_not_declare():
    """It comes out of an If, and has no type in the file."""
    branches = {
        name: branch(
            name,
            [node("SequenceConstruct", ["x"] * count, [name])],
            [helper.make_tensor_sequence_value_info(name, 1, None)],
        )
        for name, count in (("then_branch", 1), ("else_branch", 2))
    }
    nodes = [node("If", ["c"], ["s"], **branches), node("SequenceLength", ["s"], ["n"]), node("Abs", ["x"])]
    model = build(nodes, 16, [info("x", SHAPE), info("c", [], TensorProto.BOOL)])
    model.graph.output.extend([helper.make_empty_tensor_value_info("s"), info("n", [], TensorProto.INT64)])
    explained = onnxlrp.convert(model, "epsilon", target="weights", output="y").to_proto()
    found = run(explained, {"x": X, "c": np.asarray(False)})
    assert len(found["s"]) == 2
    assert found["n"] == 2
