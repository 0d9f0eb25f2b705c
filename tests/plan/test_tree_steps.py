"""The plan says which values explain a tree ensemble, and where its covers come from; the call carries both."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

import onnxlrp
from onnxlrp.composites import Epsilon
from onnxlrp.errors import InputError
from onnxlrp.graph.call import Call
from onnxlrp.plan.steps import Step
from onnxlrp.trees.ensemble_attributes import forest
from tests.operators.case import onnxruntime
from tests.operators.draws.classical import Drawing, by_numbers, by_tables, model, node, samples, single

pytestmark = pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
ROWS = samples(np.random.default_rng(7), 50).astype(np.float32)


def regressor(hit_rates: bool = False, **attributes: Any) -> onnx.ModelProto:
    trees = Drawing().forest(np.random.default_rng(0), 4)
    return single(
        "TreeEnsembleRegressor", n_targets=1, **by_numbers(trees, "target", hit_rates=hit_rates), **attributes
    )


def tree_step(source: onnx.ModelProto, composite: Any = "auto", **options: Any) -> Step:
    plan = onnxlrp.inspect(source, composite, **options)
    (step,) = [s for s in plan.steps if s.operator.startswith("TreeEnsemble")]
    return step


def test_shapley_values_and_the_grid_are_the_default():
    step = tree_step(regressor())
    assert step.why.endswith("Shapley values; covers: the threshold grid.")
    assert step.call.attr("game") == "shapley" and "covers" not in step.call.attributes


def test_hit_rates_of_the_file():
    assert tree_step(regressor(hit_rates=True)).why.endswith("Shapley values; covers: the file's hit rates.")
    rates = {
        "nodes_hitrates": [1.0]
        * len(by_numbers(Drawing().forest(np.random.default_rng(0), 4), "target")["nodes_modes"])
    }
    assert tree_step(regressor(**rates)).why.endswith("covers: the threshold grid.")


def test_rows_come_before_hit_rates():
    step = tree_step(regressor(hit_rates=True), background=ROWS)
    assert step.why.endswith("Shapley values; covers: the background's 50 rows.")
    trees = forest(step.call)
    roots = step.call.attr("covers").numpy()[trees.roots]
    assert set(roots.sum(1)) <= {0.0, 50.0} and roots.any()
    assert trees.share_source == "the background's 50 rows"


@pytest.mark.parametrize("composite", ['epsilon(trees="path")', Epsilon(trees="path")])
def test_the_path_on_request(composite):
    step = tree_step(regressor(), composite)
    assert step.why.endswith("Changes along the path; covers: the threshold grid.")
    assert step.call.attr("game") == "path"


def test_the_path_from_a_file(tmp_path):
    file = tmp_path / "ours.toml"
    file.write_text("composite = \"auto(trees='path')\"\n")
    assert tree_step(regressor(), file).call.attr("game") == "path"


@pytest.mark.parametrize("aggregate", ["MIN", "MAX"])
def test_the_path_where_one_tree_wins(aggregate):
    step = tree_step(regressor(aggregate_function=aggregate))
    assert (
        f"Changes along the path, because the {aggregate} of the trees is taken; covers: the threshold grid" in step.why
    )
    assert step.call.attr("game") == "path"
    trees = [t for t in Drawing().forest(np.random.default_rng(0), 6) if t.mode]
    tables = by_tables(trees, 1)
    code = ("MIN", "MAX").index(aggregate) + 2
    step = tree_step(
        single("TreeEnsemble", version=5, aggregate_function=code, **tables), Epsilon(trees="interventional")
    )
    assert step.call.attr("game") == "path"


def test_interventional_values_hold_the_rows():
    step = tree_step(regressor(), Epsilon(trees="interventional"), background=ROWS)
    assert step.why.endswith("Interventional Shapley values; baseline: the background's 50 rows.")
    np.testing.assert_array_equal(step.call.attr("background").numpy(), ROWS)
    with pytest.raises(InputError, match="give them as background="):
        tree_step(regressor(), Epsilon(trees="interventional"))


def test_the_file_says_how_many_rows_it_compares_with():
    """A note, and an entry of the metadata; relevance adds up to the distance from the rows' mean score."""
    source = regressor()
    explained = onnxlrp.convert(source, Epsilon(trees="interventional"), background=ROWS)
    assert explained.interface.background_rows == 50
    assert any("compares each sample with 50 background rows" in note for note in explained.notes)
    x = samples(np.random.default_rng(1), 6).astype(np.float32)
    found = onnxlrp.Explainer(explained)({"x": x})
    mean = onnxruntime(source)({"x": ROWS})["y"].mean()
    np.testing.assert_allclose(found.relevance["x"].sum(1) + mean, found.outputs["y"][:, 0], atol=1e-5)
    plain = onnxlrp.convert(source, background=ROWS)
    assert plain.interface.background_rows == 0 and not any("compares" in note for note in plain.notes)


def test_too_many_rows_to_compare_with():
    many = np.repeat(ROWS, 21, axis=0)
    with pytest.raises(InputError, match=r'1,050 rows are too many .* background=\("kmeans=50", rows\)'):
        tree_step(regressor(), Epsilon(trees="interventional"), background=many)
    assert tree_step(regressor(), background=many).why.endswith("the background's 1050 rows.")


def test_few_distinct_rows_are_their_own_centres():
    """No more rows than centres: each is one, with its share of the rows; other games need no centres."""
    twice = ROWS[[0, 1, 1, 1]]
    step = tree_step(regressor(), Epsilon(trees="interventional"), background=("kmeans=5", np.nan_to_num(twice)))
    assert step.why.endswith("baseline: 2 centres of the background's 4 rows.")
    assert sorted(step.call.attr("background_weights").numpy()) == [0.25, 0.75]
    plan = onnxlrp.inspect(regressor(), background=("kmeans=5", ROWS))
    assert "background: centres are for trees='interventional'; all rows are used as they are" in plan.notes


def test_no_other_values():
    with pytest.raises(InputError, match='trees is "shapley"'):
        Epsilon(trees="halves")  # type: ignore[arg-type]


def test_rows_run_through_what_stands_upstream():
    """A scaler upstream: the thresholds are compared with what it gives."""
    rng = np.random.default_rng(3)
    trees = by_numbers(Drawing().forest(rng, 4), "target")
    scaler = node("Scaler", ["x"], ["s"], offset=[1.0, 0.0, -1.0, 2.0], scale=[2.0] * 4)
    tree = node("TreeEnsembleRegressor", ["s"], ["y"], n_targets=1, **trees)
    source = model([scaler, tree], {"x": (TensorProto.FLOAT, ["N", 4])}, {"y": TensorProto.FLOAT})
    step = tree_step(source, background=ROWS)
    alone = tree_step(single("TreeEnsembleRegressor", n_targets=1, **trees), background=(ROWS - [1, 0, -1, 2]) * 2)
    np.testing.assert_array_equal(step.call.attr("covers").numpy(), alone.call.attr("covers").numpy())
    plan = onnxlrp.inspect(source, background=ROWS)
    assert "nothing in this model uses background rows" not in plan.notes


def test_counts_go_into_the_file():
    """Whoever reads the trees of the explained file again has the shares of the rows at comparisons that part them."""
    explained = onnxlrp.convert(regressor(), background=ROWS)
    graph = ir.serde.deserialize_model(explained.to_proto()).graph
    (written,) = [n for n in graph if n.op_type == "TreeEnsembleRegressor"]
    read = forest(Call.of(written))
    counted = forest(tree_step(regressor(), background=ROWS).call)
    assert counted.taken is not None
    parting = counted.taken.all(1)
    assert parting.any()
    np.testing.assert_allclose(read.share[parting], counted.share[parting])
    assert read.share_source == "the file's hit rates"
    assert not written.metadata_props


def test_counts_of_the_newest_operator_go_into_the_file():
    trees = [t for t in Drawing().forest(np.random.default_rng(0), 6) if t.mode]
    explained = onnxlrp.convert(single("TreeEnsemble", version=5, **by_tables(trees, 1)), background=ROWS)
    (written,) = [n for n in explained.to_proto().graph.node if n.op_type == "TreeEnsemble"]
    rates = {a.name: helper.get_attribute_value(a) for a in written.attribute}["nodes_hitrates"]
    assert onnx.numpy_helper.to_array(rates).max() == 50
    onnxlrp.Explainer(explained)({"x": ROWS[:3]})


def test_gradients_play_no_game():
    step = tree_step(regressor(), "gradient")
    assert "game" not in step.call.attributes


def leaf_function() -> onnx.ModelProto:
    """Numbers looked up by the leaf that one tree reaches, as skl2onnx writes path lengths."""
    tree = Drawing().tree(np.random.default_rng(0))
    leaves, rest = [], [tree]
    while rest:
        one = rest.pop()
        rest += [side for side in (one.yes, one.no) if side is not None]
        leaves += [] if one.mode else [one]
    for number, leaf in enumerate(leaves):
        leaf.weights = {0: float(number)}
    nodes = [
        node("TreeEnsembleRegressor", ["x"], ["leaf"], n_targets=1, **by_numbers([tree], "target")),
        helper.make_node("Cast", ["leaf"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["y"]),
    ]
    table = {"table": np.random.default_rng(1).normal(size=len(leaves)).astype(np.float32)}
    return model(nodes, {"x": (TensorProto.FLOAT, ["N", 4])}, {"y": TensorProto.FLOAT}, table)


@pytest.mark.parametrize("rows", [None, ROWS], ids=["grid", "rows"])
def test_functions_of_one_tree_play_the_same_game(rows):
    plan = onnxlrp.inspect(leaf_function(), background=rows)
    (step,) = [s for s in plan.steps if s.operator == "LeafFunction"]
    source = "the threshold grid" if rows is None else "the background's 50 rows"
    assert step.why.endswith(f"Shapley values; covers: {source}.")
    assert step.call.attr("game") == "shapley" and ("covers" in step.call.attributes) == (rows is not None)
    explained = onnxlrp.convert(leaf_function(), background=rows, ledger=True)
    found = onnxlrp.Explainer(explained)({"x": ROWS[:5]})
    assert np.abs(found.ledger.gaps).max() < 1e-5
