"""Which element of the output is explained, and from what relevance starts."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnxlrp
from onnxlrp.errors import InvalidModelError, TargetError
from tests.source.nets import dense, explain, image, info, interface, model, network, run, weights

W = weights()


def scores_of(proto: onnx.ModelProto) -> np.ndarray:
    return run(proto, image())["y"]


def test_the_default_target_is_the_predicted_class():
    best = scores_of(network()).argmax(1)
    plain = explain(network())["x_relevance"]
    np.testing.assert_array_equal(plain, explain(network(), {"target": best})["x_relevance"])
    np.testing.assert_array_equal(plain, explain(network(), {"target": [-1]})["x_relevance"])
    np.testing.assert_allclose(plain.sum((1, 2, 3)) != 0, True)


def test_the_declared_target():
    """int64 [N], a default of one element: an overridable initializer."""
    proto = onnxlrp.convert(network(), output="y").to_proto()
    target = next(v for v in proto.graph.input if v.name == "target")
    assert target.type.tensor_type.elem_type == TensorProto.INT64
    assert [d.dim_param for d in target.type.tensor_type.shape.dim] == ["N"]
    default = next(t for t in proto.graph.initializer if t.name == "target")
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(default), [-1])


def test_a_class_past_the_end_gives_no_relevance():
    for target in (3, -2):
        assert not explain(network(), {"target": [target]})["x_relevance"].any()


def test_ties_go_to_the_first():
    proto = dense()
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.ones((4, 3), np.float32), "v"))
    outputs = run(onnxlrp.convert(proto, "epsilon", target="class").to_proto(), {"x": np.ones((2, 4), np.float32)})
    first = run(
        onnxlrp.convert(proto, "epsilon").to_proto(), {"x": np.ones((2, 4), np.float32), "target": np.array([0])}
    )
    np.testing.assert_array_equal(outputs["x_relevance"], first["x_relevance"])


def test_target_input_required():
    """An ordinary input, without a default."""
    proto = onnxlrp.convert(network(), target_input="required", output="y").to_proto()
    assert "target" in {v.name for v in proto.graph.input}
    assert "target" not in {t.name for t in proto.graph.initializer}
    assert interface(proto).required
    optional = explain(network(), {"target": [2]}, composite="auto")
    required = run(proto, {**image(), "target": np.array([2])})
    np.testing.assert_array_equal(required["x_relevance"], optional["x_relevance"])


def test_target_input_none():
    proto = onnxlrp.convert(network(), "epsilon", target_input="none", output="y").to_proto()
    assert [v.name for v in proto.graph.input] == ["x"]
    assert interface(proto).target_input is None
    np.testing.assert_array_equal(run(proto, image())["x_relevance"], explain(network())["x_relevance"])


def sequence() -> onnx.ModelProto:
    """Scores [N, T, V], one row a token."""
    return model(
        [helper.make_node("MatMul", ["x", "v"], ["y"])],
        [info("x", ["N", "T", 4])],
        [info("y", ["N", "T", 3])],
        {"v": W["v"]},
    )


def test_tokens():
    """One class at one position, the last by default."""
    proto = onnxlrp.convert(sequence(), "lrp0", target="token").to_proto()
    said = interface(proto)
    assert (said.target_input, said.position_input) == ("target", "position")
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    for feeds, positions, classes in (
        ({}, [4, 4], None),
        ({"target": np.array([1])}, [4, 4], [1, 1]),
        ({"target": np.array([0, 2]), "position": np.array([3, 0])}, [3, 0], [0, 2]),
        ({"position": np.array([1])}, [1, 1], None),
    ):
        outputs = run(proto, {"x": x, **feeds})
        expected = np.zeros_like(x)
        for row, place in enumerate(positions):
            chosen = outputs["y"][row, place].argmax() if classes is None else classes[row]
            expected[row, place] = x[row, place] * W["v"][:, chosen]
        np.testing.assert_allclose(outputs["x_relevance"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("index", "place"), [(-1, 4), (1, 1)])
def test_one_token_that_the_model_picks(index, place):
    """Scores [N, V] of a token [N, T, V]: the product is not gone through again for the others."""
    graph = model(
        [
            helper.make_node("Relu", ["x"], ["h"]),
            helper.make_node("MatMul", ["h", "v"], ["all"]),
            helper.make_node("Gather", ["all", "index"], ["y"], axis=1),
        ],
        [info("x", ["N", "T", 4])],
        [info("y", ["N", 3])],
        {"v": W["v"], "index": np.array(index)},
    )
    proto = onnxlrp.convert(graph, "lrp0").to_proto()
    readers = {n.op_type for n in proto.graph.node if n.metadata_props and {"all", "v"} & set(n.input)}
    assert readers == {"Gather", "GatherND", "Shape"}
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    for target, classes in ((None, None), ([1], [1, 1]), ([0, 2], [0, 2])):
        outputs = run(proto, {"x": x} if target is None else {"x": x, "target": np.array(target)})
        chosen = outputs["y"].argmax(1) if classes is None else classes
        expected = np.zeros_like(x)
        expected[:, place] = np.maximum(x[:, place], 0) * W["v"][:, chosen].T
        np.testing.assert_allclose(outputs["x_relevance"], expected, rtol=1e-5, atol=1e-6)
    assert not run(proto, {"x": x, "target": np.array([3])})["x_relevance"].any()


def test_tokens_need_rank_three():
    with pytest.raises(TargetError, match="class"):
        onnxlrp.convert(network(), target="token")
    with pytest.raises(TargetError, match=r"token.*weights"):
        onnxlrp.convert(sequence())


def test_weights():
    """Relevance starts as weights × score; broadcast, 1 by default."""
    proto = onnxlrp.convert(sequence(), "lrp0", target="weights").to_proto()
    assert interface(proto).weights_input == "y_weights"
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype(np.float32)
    for given in (
        None,
        np.ones((1, 1, 1)),
        np.random.default_rng(1).normal(size=(2, 5, 3)),
        np.array([[[1, 0, -2.0]]]),
    ):
        feeds = {} if given is None else {"y_weights": given.astype(np.float32)}
        spread = np.broadcast_to(1 if given is None else given, (2, 5, 3))
        outputs = run(proto, {"x": x, **feeds})
        np.testing.assert_allclose(outputs["x_relevance"], x * (spread @ W["v"].T), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("composite", ["epsilon_plus", "gradient", "epsilon_alpha2_beta1_flat"])
def test_several_targets_at_once(composite):
    """Each as if it had been asked alone."""
    proto = onnxlrp.convert(network(), composite, targets=3, output="y", ledger=composite != "gradient").to_proto()
    asked = np.array([[0, 2, -1], [1, 1, 0]])
    together = run(proto, {**image(), "target": asked})["x_relevance"]
    assert together.shape == (2, 3, 2, 6, 6)
    for k in range(3):
        alone = explain(network(), {"target": asked[:, k]}, composite=composite)["x_relevance"]
        np.testing.assert_allclose(together[:, k], alone, rtol=1e-4, atol=1e-6)
    default = run(proto, image())["x_relevance"]
    assert default.shape == (2, 3, 2, 6, 6)
    np.testing.assert_array_equal(default[:, 0], default[:, 2])


def test_the_weights_of_several_targets_lie_with_them():
    """Turned weights are constants of the Scan's body: a session finds them only there, else it is 1.2 times slower."""
    proto = onnxlrp.convert(network(), "epsilon", targets=3, output="y").to_proto()
    (scan,) = [node for node in proto.graph.node if node.op_type == "Scan"]
    (body,) = [a.g for a in scan.attribute if a.name == "body"]
    made, weights = {v for node in proto.graph.node for v in node.output}, {v.name for v in proto.graph.initializer}
    convolutions = [node for node in body.node if node.op_type in ("Conv", "ConvTranspose")]
    assert convolutions
    for node in convolutions:
        assert node.input[1] not in made or node.input[1] in weights


def test_one_score():
    """Rank 1 over the batch, or a single score: it is explained whatever the class."""
    column = {"v": W["v"][:, :1]}
    nodes = [helper.make_node("Gemm", ["x", "v"], ["h"]), helper.make_node("Squeeze", ["h", "axis"], ["y"])]
    flat = model(nodes, [info("x", ["N", 4])], [info("y", ["N"])], {**column, "axis": np.array([1])})
    x = {"x": np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)}
    outputs = run(onnxlrp.convert(flat, "lrp0").to_proto(), x)
    np.testing.assert_allclose(outputs["x_relevance"], x["x"] * W["v"][:, 0], rtol=1e-5)
    whole = model([helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)], [info("x", [3, 4])], [info("y", [])])
    ones = {"x": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)}
    np.testing.assert_allclose(
        run(onnxlrp.convert(whole, "lrp0").to_proto(), ones)["x_relevance"], ones["x"], rtol=1e-5
    )


def test_initial_one():
    """From 1 instead of the score's value: the same up to that factor."""
    score = scores_of(network())[:, 1].reshape(-1, 1, 1, 1)
    value, one = (explain(network(), {"target": [1]}, initial=i)["x_relevance"] for i in ("output", "one"))
    np.testing.assert_allclose(one * score, value, rtol=1e-3, atol=1e-6)


def test_a_final_softmax_is_skipped_unless_it_is_asked_for():
    skipped = explain(network(), output="p")["x_relevance"]
    np.testing.assert_allclose(skipped, explain(network(), output="y")["x_relevance"], rtol=1e-5, atol=1e-7)
    assert any("softmax" in note for note in onnxlrp.convert(network(), output="p").notes)
    asked = explain(network(), output="p", explain_probability=True)["x_relevance"]
    assert not np.allclose(asked, skipped, rtol=1e-2)


def test_an_error_names_the_output_and_not_what_feeds_its_sigmoid():
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["inner"]), helper.make_node("Sigmoid", ["inner"], ["heat"])],
        "picture",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1, 8, 8])],
        [helper.make_tensor_value_info("heat", TensorProto.FLOAT, ["N", 1, 8, 8])],
    )
    with pytest.raises(TargetError, match="'heat'"):
        onnxlrp.convert(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))


@pytest.mark.parametrize("targets", [1, 2])
def test_no_samples(targets):
    """A detector finds no boxes: what it makes of none is computed all the same, and relevance is 0."""
    text = """<ir_version: 8, opset_import: ["" : 17]> main (float[N, 3] x) => (float[M, 4] boxes) {
        likely = ReduceMax <axes: ints = [1], keepdims: int = 0> (x)
        half = Constant <value: tensor = float {0.5}> ()
        found = Greater (likely, half)
        rows = Compress <axis: int = 0> (x, found)
        boxes = MatMul (rows, w)
    }"""
    proto = onnx.parser.parse_model(text)
    weight = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    explainer = onnxlrp.Explainer(onnxlrp.convert(proto, "epsilon", targets=targets))
    x = np.eye(3, dtype=np.float32)
    some, none = explainer({"x": x}), explainer({"x": x * 0.1})
    assert some.outputs["boxes"].shape == (3, 4) and np.any(some.relevance["x"])
    assert none.outputs["boxes"].shape == (0, 4) and none.score.size == none.target.size == 0
    np.testing.assert_array_equal(none.relevance["x"], np.zeros_like(some.relevance["x"]))


@pytest.mark.parametrize("softmax", [False, True])
def test_a_model_that_answers_with_a_class_alone_hands_out_its_scores_where_they_are_named(softmax):
    text = f"""<ir_version: 8, opset_import: ["" : 17]> main (float[N, 4] x) => (int32[N] best) {{
        {"z = MatMul (x, w) scores = Softmax (z)" if softmax else "scores = MatMul (x, w)"}
        one = ArgMax <axis: int = 1> (scores)
        axis = Constant <value: tensor = int64[1] {{1}}> ()
        flat = Squeeze (one, axis)
        best = Cast <to: int = 6> (flat)
    }}"""
    proto = onnx.parser.parse_model(text)
    w = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(w, "w"))
    with pytest.raises(InvalidModelError, match="output='scores'"):
        onnxlrp.convert(proto, "lrp0")
    explainer = onnxlrp.Explainer(onnxlrp.convert(proto, "lrp0", output="scores"))
    x = np.random.default_rng(1).normal(size=(5, 4)).astype(np.float32)
    found, best = explainer({"x": x}), (x @ w).argmax(1)
    np.testing.assert_array_equal(found.outputs["best"], best)
    np.testing.assert_array_equal(found.target, best)
    np.testing.assert_allclose(found.relevance["x"], x * w[:, best].T, rtol=1e-4, atol=1e-6)
    assert list(found.outputs) == ["best", "scores"]
