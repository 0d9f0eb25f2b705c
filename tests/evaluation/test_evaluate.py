"""`onnxlrp.evaluate` as a whole: what stands beside, what is noted, what is refused, and the result's forms."""

from __future__ import annotations

import json

import numpy as np
import pytest

import onnxlrp
from onnxlrp.errors import InputError, OnnxLrpError
from tests.evaluation import nets


@pytest.fixture(scope="module")
def model():
    return nets.convolutions(np.random.default_rng(3))


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(4).normal(size=(6, 1, 12, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def evaluation(model, x):
    return onnxlrp.evaluate(model, x, ["auto", "epsilon_plus", "gradient"], unit_size=3, masks=x > 1)


def test_beside_every_composite_stand_random_occlusion_and_gradient_x_input(evaluation):
    wanted = ("auto", "epsilon_plus", "gradient", "gradient_x_input", "random", "occlusion")
    assert evaluation.explanations == wanted
    assert evaluation.figure("occlusion", "rank_agreement").mean == pytest.approx(1)
    assert evaluation.best() in wanted


def test_every_measure_has_a_direction_and_a_figure(evaluation):
    assert {one.name for one in evaluation.measures} == set(onnxlrp.evaluation.measures.MEASURES)
    for one in evaluation.measures:
        assert np.isfinite(evaluation.figure("auto", one.name).mean), one.name
        assert evaluation.figure("auto", one.name).better == one.better


def test_gradients_are_those_of_the_score():
    """Of a softmax the margin is explained, for gradients too, so that all explain one thing."""
    random = np.random.default_rng(0)
    weights, x = random.normal(size=(4, 3)), random.normal(size=(5, 4)).astype(np.float32)
    found = onnxlrp.evaluate(nets.linear(weights, True), x, "lrp0", measures="complexity")
    np.testing.assert_allclose(found.relevance["gradient_x_input"], found.relevance["lrp0"], rtol=1e-5)


def test_shares_of_the_ledger_add_up(evaluation):
    for name in ("auto", "epsilon_plus"):
        shares = evaluation.conservation[name]
        assert shares.inputs + shares.bias + shares.epsilon + shares.lost == pytest.approx(1)
        assert shares.inputs == evaluation.figure(name, "reaches_inputs").mean
        assert abs(shares.lost) < 1e-3
    assert "gradient" not in evaluation.conservation


def test_noise_moves_a_linear_explanation_by_its_own_size():
    """w · (x + noise) − w · x: about 2 % of the standard deviation, whatever the weights."""
    x = np.random.default_rng(5).normal(size=(50, 6)).astype(np.float32)
    found = onnxlrp.evaluate(nets.linear(np.full((6, 1), 7.0)), x, "lrp0", measures="stability")
    assert found.figure("lrp0", "instability").mean == pytest.approx(0.02, rel=0.2)


def test_presets_that_repeat_another_are_left_out(x):
    found = onnxlrp.evaluate(nets.linear(np.ones((6, 2))), x[0, 0, :, :6], measures="complexity")
    assert found.explanations == ("auto", "deep_taylor", "gradient_x_input", "random", "occlusion")
    assert "epsilon was left out: on this model it gives the relevance of auto" in found.notes
    assert not any("are few" in note for note in found.notes)


def test_few_samples_are_noted(evaluation):
    assert any(note.startswith("6 samples are few") for note in evaluation.notes)


def test_a_difference_names_the_better_one_only_if_it_is_sure():
    x = np.random.default_rng(6).normal(size=(30, 5)).astype(np.float32)
    random = np.random.default_rng(7)
    own = {"good": x * 1, "bad": -x, "also good": x * 2, "noise": random.normal(size=x.shape)}
    found = onnxlrp.evaluate(nets.linear(np.ones((5, 1))), x, "lrp0", explanations=own, baseline="zero")
    assert found.difference("good", "bad").better == "good"
    assert found.difference("bad", "good").better == "good"
    assert found.difference("bad", "good", "deletion").better == "good"
    assert found.difference("good", "also good").better is None
    assert found.difference("good", "bad", "complexity").better is None
    assert np.isnan(found.figure("good", "instability").mean)


def test_forms_of_the_result(evaluation, tmp_path):
    assert repr(evaluation).startswith("<Evaluation of y: 6 explanations, 6 samples, best by area ")
    content = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert content["units"] == "patches of 3 × 3" and content["unit_count"] == 16
    assert len(content["figures"]) == len(evaluation.explanations) * len(evaluation.measures)
    assert len(content["differences"]) == 15
    text = str(evaluation)
    assert "area ↑" in text and "replaced by the picture's mean colour" in text
    for one in evaluation.measures:
        assert one.text in text


def test_frame(evaluation):
    pandas = pytest.importorskip("pandas")
    frame = evaluation.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    row = frame[(frame.explanation == "auto") & (frame.measure == "area")].iloc[0]
    assert row["mean"] == evaluation.figure("auto").mean and row["better"] == "higher"


def test_plot(evaluation, tmp_path):
    pytest.importorskip("matplotlib")
    evaluation.plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match=r"a plot is written as \.png, \.svg, \.pdf"):
        evaluation.plot(tmp_path / "curves.gif")


def test_equal_seeds_give_equal_results(model, x):
    found = [onnxlrp.evaluate(model, x, "auto", unit_size=4, seed=seed).to_dict() for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_a_token_target():
    """Scores [N, T, V]: the chosen position's class, read from the flattened scores."""
    from onnx import helper

    weights = np.random.default_rng(8).normal(size=(4, 3))
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    made = nets.model([node], {"x": ["N", 5, 4]}, {"y": ["N", 5, 3]}, {"w": weights})
    x = np.random.default_rng(9).normal(size=(3, 5, 4)).astype(np.float32)
    options = {"measures": "perturbation", "baseline": "zero"}
    found = onnxlrp.evaluate(made, x, "lrp0", target=[0, 1, 2], position=2, target_kind="token", **options)
    wanted = (x @ weights)[np.arange(3), 2, np.arange(3)]
    np.testing.assert_allclose(found.curves["lrp0"].most_first[:, 0], wanted, rtol=1e-5)
    found = onnxlrp.evaluate(made, x, "lrp0", target=(4, 1), target_kind="element", **options)
    np.testing.assert_allclose(found.curves["lrp0"].most_first[:, 0], (x @ weights)[:, 4, 1], rtol=1e-5)
    # As many samples as an element has indices: it is still one element for all.
    found = onnxlrp.evaluate(made, x[:2], "lrp0", target=(4, 1), target_kind="element", **options)
    np.testing.assert_allclose(found.curves["lrp0"].most_first[:, 0], (x[:2] @ weights)[:, 4, 1], rtol=1e-5)


def test_several_inputs(x):
    """The units of all inputs are removed in one order."""
    from onnx import helper

    nodes = [helper.make_node("Mul", ["b", "two"], ["d"]), helper.make_node("Add", ["a", "d"], ["y"])]
    made = nets.model(nodes, {"a": ["N", 1], "b": ["N", 1]}, {"y": ["N", 1]}, {"two": np.array([2.0])})
    data = {"a": np.array([[3.0]], np.float32), "b": np.array([[2.0]], np.float32)}
    found = onnxlrp.evaluate(made, data, "lrp0", measures="perturbation", baseline="zero")
    assert found.relevance["lrp0"].tolist() == [[3, 4]]
    assert found.curves["lrp0"].most_first.tolist() == [[7, 3, 0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"measures": ["area"]}, "the measures are perturbation, leave_one_out"),
        ({"measures": "localisation"}, "localisation needs masks"),
        ({"beside": ["lime"]}, "beside the composites stand random, occlusion"),
        ({"steps": 0}, "steps is a whole number from 1 on"),
        ({"confidence": 95}, "confidence lies between 0 and 1"),
        ({"composites": []}, "no composite to evaluate"),
        ({"composites": ["auto", "auto"]}, "two of the composites are the same"),
        ({"explanations": {"random": np.zeros((6, 1, 12, 12))}}, "two explanations are called 'random'"),
        ({"explanations": {"own": np.zeros((6, 12, 12))}}, r"'own' of input 'x' has the shape \[6, 12, 12\]"),
        ({"explanations": {"own": {"z": 0}}}, "has no relevance for input 'x'"),
        ({"masks": {"z": 0}}, "masks are for explained inputs, x, not 'z'"),
        ({"masks": np.zeros((6, 5, 5))}, "or boxes"),
        ({"composites": "epsilon_pluss"}, "epsilon_pluss"),
        ({"data": {"z": np.zeros(3)}}, "no input 'z'"),
    ],
)
def test_arguments_that_do_not_fit(model, x, options, message):
    options = {"composites": "auto", "data": x, **options}
    with pytest.raises(InputError, match=message):
        onnxlrp.evaluate(model, **options)


def test_an_explained_model_is_refused(model, x):
    with pytest.raises(OnnxLrpError, match="explained already"):
        onnxlrp.evaluate(onnxlrp.convert(model).to_proto(), x)


def test_relevance_of_nothing_is_noted(model, x):
    own = {"nothing": np.zeros_like(x), "broken": np.full_like(x, np.nan)}
    found = onnxlrp.evaluate(model, x, "auto", explanations=own, unit_size=4, measures=("perturbation", "complexity"))
    for name in own:
        assert f"the relevance of {name} is 0 everywhere, or no number, for 6 samples" in found.notes
    assert np.isnan(found.figure("nothing", "complexity").mean)


def test_tokens_of_a_text():
    """Ids become the mask token; padding, which the mask names, stays and has no relevance of its own."""
    from onnx import TensorProto, helper

    table = np.random.default_rng(10).normal(size=(9, 3))
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["e"]),
        helper.make_node("Cast", ["attention_mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["m", "last"], ["w"]),
        helper.make_node("Mul", ["e", "w"], ["h"]),
        helper.make_node("ReduceSum", ["h", "first"], ["y"], keepdims=0),
    ]
    weights = {"table": table, "last": np.array([2]), "first": np.array([1])}
    made = nets.model(nodes, {"input_ids": ["N", "T"], "attention_mask": ["N", "T"]}, {"y": ["N", 3]}, weights)
    for value in made.graph.input:
        value.type.tensor_type.elem_type = TensorProto.INT64
    ids = np.array([[3, 4, 5, 0], [6, 7, 0, 0]])
    data = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    options = {"inputs": ["input_ids"], "measures": "perturbation", "target": 1, "mask_token": 8}
    found = onnxlrp.evaluate(made, data, "lrp0", **options)
    assert (found.units, found.unit_count, found.baseline) == ("tokens", 3, "token 8")
    ends = found.curves["lrp0"].most_first[:, [0, -1]]
    np.testing.assert_allclose(ends, np.array([[table[[3, 4, 5], 1].sum(), 3 * table[8, 1]],
                                               [table[[6, 7], 1].sum(), 2 * table[8, 1]]]), rtol=1e-5)  # fmt: skip


def test_trees_stand_alone_beside_random_and_occlusion():
    from tests.operators.draws.classical import Drawing, by_numbers, samples, single

    forest = by_numbers(Drawing().forest(np.random.default_rng(0), 4), "target")
    x = samples(np.random.default_rng(1), 12).astype(np.float32)
    found = onnxlrp.evaluate(single("TreeEnsembleRegressor", n_targets=1, **forest), x)
    assert found.explanations == ("auto", "gradient_x_input", "random", "occlusion")
    assert "the relevance of gradient_x_input is 0 everywhere, or no number, for 12 samples" in found.notes
    assert found.best() != "gradient_x_input" and not found.sanity
