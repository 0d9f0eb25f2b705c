"""Base value and relevance add up to the raw score, or there is no base value."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnxlrp
from onnxlrp.interface import Interface
from tests.operators.draws.classical import Drawing, by_numbers, by_tables, model, node, samples, single
from tests.operators.test_kernels import Net, matern3, pairs, quadratic, rbf, scanned

Array = np.ndarray
FLOAT, DOUBLE, INT, STRING = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING
RNG = np.random.default_rng(0)
X = samples(RNG, 9).astype(np.float32)
COLUMNS = {"x": (FLOAT, ["N", 4])}


def forest(seed: int, inputs=("x",), outputs=("t",), targets: int = 1, count: int = 4, **attributes) -> onnx.NodeProto:
    """A regressor's node."""
    trees = Drawing(targets=range(targets)).forest(np.random.default_rng(seed), count)
    found = by_numbers(trees, "target", hit_rates=True)
    return node("TreeEnsembleRegressor", inputs, outputs, n_targets=targets, **found, **attributes)


def classifier(classes: int, kind: int = INT, given: int | None = None, **attributes) -> onnx.ModelProto:
    """A classifier whose leaves speak of the first `given` of its classes."""
    trees = Drawing(targets=range(given or classes)).forest(np.random.default_rng(classes), 4)
    return single(
        "TreeEnsembleClassifier",
        label=kind,
        **by_numbers(trees, "class"),
        classlabels_int64s=list(range(10, 10 + classes)),
        **attributes,
    )


def joined(*nodes: onnx.NodeProto, inputs=None, **constants: object) -> onnx.ModelProto:
    """A model of `y` with constants in float32."""
    floats = {name: np.asarray(value, np.float32) for name, value in constants.items()}
    return model(nodes, inputs or COLUMNS, {"y": FLOAT}, floats)


def plain(op_type: str, *names: str, **attributes: object) -> onnx.NodeProto:
    """A node whose last name is its output."""
    return helper.make_node(op_type, names[:-1], names[-1:], **attributes)


def explained(source, feeds, composite="auto", call=None, **options) -> tuple[onnxlrp.Explanation, Interface]:
    """Explain on the CPU, through the file's bytes, without doubts."""
    made = onnxlrp.convert(source, composite, **options)
    explainer = onnxlrp.Explainer(made.to_proto(), providers=["CPUExecutionProvider"])
    return explainer(feeds, **(call or {})), explainer.interface


def check_sum(found: onnxlrp.Explanation, score: Array | None = None, rtol: float = 1e-5) -> None:
    """Base value and relevance add up to the raw score, which is `score`; relative to the largest of them."""
    assert found.base_value is not None and found.raw_score is not None
    assert found.base_value.dtype == np.float64 and found.base_value.shape == found.raw_score.shape
    total = sum(r.sum(axis=tuple(range(found.base_value.ndim, r.ndim))) for r in found.relevance.values())
    expected = found.raw_score if score is None else score
    scale = np.maximum(np.abs(found.base_value), np.abs(expected)) + max(
        np.abs(r).max() for r in found.relevance.values()
    )
    assert (np.abs(found.base_value + total - expected) <= rtol * scale).all()
    assert (np.abs(found.raw_score - expected) <= rtol * scale).all()


# ------------------------------------------------------------------------------------------------------- ensembles


@pytest.mark.parametrize("composite", ["auto", "epsilon_plus_flat", "lrp0"])
@pytest.mark.parametrize("aggregate", ["SUM", "AVERAGE"])
def test_a_forest_of_several_targets(aggregate, composite):
    source = joined(forest(1, outputs=["y"], targets=3, aggregate_function=aggregate, base_values=[0.5, -2.0, 8.0]))
    for target in (None, 1, [0, 1, 2] * 3):
        found, interface = explained(source, {"x": X}, composite, {"target": target})
        check_sum(found, found.score)
        np.testing.assert_array_equal(found.base_value, np.array(interface.base_values)[found.target])
    assert interface.has_base and len(interface.base_values) == 3


@pytest.mark.parametrize("game", ["shapley", "path", "interventional"])
@pytest.mark.parametrize("source", [joined(forest(30, outputs=["y"], targets=2)), classifier(2, given=1)])
def test_every_game_and_its_background(source, game):
    """The base is the expectation over the covers or, of interventional values, the mean over the background."""
    rows = samples(np.random.default_rng(2), 30).astype(np.float32)
    bases = []
    for background in (rows, rows[:7]):
        found, interface = explained(source, {"x": X}, f'epsilon(trees="{game}")', background=background)
        check_sum(found, found.score)
        bases.append(interface.base_values)
    assert bases[0] != bases[1]
    if game == "interventional":
        (outputs,) = (v for v in explained(source, {"x": rows})[0].outputs.values() if v.dtype == np.float32)
        np.testing.assert_allclose(bases[0], outputs.mean(axis=0), rtol=1e-5)


def test_in_float64():
    trees = [t for t in Drawing().forest(RNG, 5) if t.mode]
    source = single("TreeEnsemble", kind=DOUBLE, version=5, **by_tables(trees, 1, floating=np.float64))
    found, _ = explained(source, {"x": samples(RNG, 9)})
    check_sum(found, found.score, rtol=1e-10)


@pytest.mark.parametrize(
    ("source", "raw"),
    [
        (classifier(3), lambda y: y),
        (classifier(3, post_transform="SOFTMAX"), None),
        (classifier(2, given=1, post_transform="LOGISTIC"), lambda y: np.log(y / (1 - y))),
        (classifier(2, given=1, base_values=[0.3]), lambda y: y),
    ],
)
def test_classifiers(source, raw):
    """Where a final function is skipped the raw score is the margin, and not the probability."""
    found, _ = explained(source, {"x": X})
    check_sum(found, None if raw is None else raw(found.score), rtol=2e-5)
    if raw is None:
        every, _ = explained(source, {"x": X}, call={"target": np.array([[0, 1, 2]] * len(X))}, targets=3)
        check_sum(every)
        odds = np.exp(every.raw_score)
        np.testing.assert_allclose(odds / odds.sum(1, keepdims=True), every.score, rtol=1e-5)


def test_every_kind_of_target():
    source = joined(forest(2, outputs=["y"], targets=3))
    one, interface = explained(source, {"x": X}, target="element", call={"target": [1]})
    check_sum(one, one.score)
    many, _ = explained(source, {"x": X}, targets=2, call={"target": [2, 0]})
    check_sum(many, many.score)
    assert many.base_value.shape == (9, 2)
    weights = RNG.normal(size=(9, 3)).astype(np.float32)
    weighted, _ = explained(source, {"x": X}, target="weights", call={"weights": weights})
    check_sum(weighted, (weights * weighted.outputs["y"]).sum(1))
    np.testing.assert_allclose(weighted.base_value, weights.astype(np.float64) @ interface.base_values)
    plain_sum, _ = explained(source, {"x": X}, target="weights")
    check_sum(plain_sum, plain_sum.outputs["y"].sum(1))


# ---------------------------------------------------------------------------------- affine on the way to the score


W = RNG.normal(size=(4, 1))
AFFINE = {
    "scaled and shifted": joined(forest(3), plain("Mul", "t", "k", "m"), plain("Add", "m", "b", "y"), k=-3, b=4),
    "a mean of two": joined(
        forest(4, outputs=["t"]),
        forest(5, outputs=["s"]),
        plain("Mean", "t", "s", "m"),
        plain("Sub", "m", "b", "y"),
        b=1,
    ),
    "voted by weights": joined(
        forest(6, outputs=["t"], targets=3), plain("Gemm", "t", "w", "b", "y"), w=RNG.normal(size=(3, 2)), b=[1, -2]
    ),
    "concatenated": joined(
        forest(7, outputs=["t"]),
        forest(8, outputs=["s"]),
        plain("Concat", "t", "s", "c", axis=1),
        plain("MatMul", "c", "w", "y"),
        w=[[2.0], [-0.5]],
    ),
    "a linear model beside it": joined(
        forest(9), plain("Gemm", "x", "w", "b", "l"), plain("Add", "t", "l", "y"), w=W, b=[0.25]
    ),
    "scaled for the linear model alone": joined(
        forest(10),
        plain("Sub", "x", "m", "c"),
        plain("Gemm", "c", "w", "b", "l"),
        plain("Add", "t", "l", "y"),
        m=[1, 2, 3, 4],
        w=W,
        b=[0.25],
    ),
    "a constant class": joined(forest(11), plain("Sub", "o", "t", "u"), plain("Concat", "u", "t", "y", axis=1), o=1),
}


@pytest.mark.parametrize("name", AFFINE)
def test_affine_steps_pass_the_values_exactly(name):
    """Also where the score is nearly 0: no ε takes a share that would depend on the sample."""
    x = samples(np.random.default_rng(1), 200).astype(np.float32)
    for composite in ("auto", "epsilon", "lrp0"):
        found, _ = explained(AFFINE[name], {"x": x}, composite)
        check_sum(found, found.score)


def test_a_score_of_zero_has_its_values():
    """The forest says 1 or −1, the constant 1 is added: the values are there although the score is 0."""
    leaves = {"target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0], "target_weights": [1.0, -1.0]}
    lists = {"treeids": [0] * 3, "nodeids": [0, 1, 2], "featureids": [0] * 3, "modes": ["BRANCH_LEQ", "LEAF", "LEAF"]}
    lists |= {"values": [0.0] * 3, "truenodeids": [1, 0, 0], "falsenodeids": [2, 0, 0]}
    tree = {f"nodes_{name}": value for name, value in lists.items()}
    source = joined(
        node("TreeEnsembleRegressor", ["x"], ["t"], n_targets=1, **tree, **leaves), plain("Add", "t", "b", "y"), b=1
    )
    found, interface = explained(source, {"x": np.array([[1, 0, 0, 0], [-1, 0, 0, 0]], np.float32)})
    np.testing.assert_array_equal(found.score, [0, 2])
    np.testing.assert_array_equal(found.relevance["x"][:, 0], [-1, 1])
    assert interface.base_values == (1.0,)


def test_the_ledger_of_exact_steps_closes():
    for source in AFFINE.values():
        found, _ = explained(source, {"x": X}, ledger=True)
        assert np.abs(found.ledger.gaps).max() < 1e-5 * max(1, np.abs(found.ledger.values).max())
        assert not np.abs(found.ledger.values[:, 3:]).max() > 1e-5


# ------------------------------------------------------------------------------------ between inputs and ensembles


def test_inputs_a_column_and_encoders():
    """All relevance of encoders, imputers and scalers arrives at the columns."""
    encoded = node("OneHotEncoder", ["word"], ["hot"], cats_strings=["a", "b"], zeros=1)
    flat = plain("Reshape", "hot", "pair", "flat")
    filled = node("Imputer", ["x"], ["full"], imputed_value_floats=[0.5], replaced_value_float=float("nan"))
    scaled = node("Scaler", ["full"], ["ready"], offset=[0.5], scale=[2.0])
    trees = forest(12, ["all"], ["y"], count=6)
    nodes = [encoded, flat, filled, scaled, plain("Concat", "ready", "age", "flat", "all", axis=1), trees]
    inputs = {"word": (STRING, ["N", 1]), "x": (FLOAT, ["N", 1]), "age": (FLOAT, ["N", 1])}
    source = model(nodes, inputs, {"y": FLOAT}, {"pair": np.array([-1, 2])})
    words = np.array([["a"], ["b"], ["c"]] * 3, object)
    found, _ = explained(source, {"word": words, "x": np.where(X[:, :1] > 0.5, np.nan, X[:, :1]), "age": X[:, 1:2]})
    check_sum(found, found.score)
    assert set(found.relevance) == {"word", "x", "age"}


# --------------------------------------------------------------------------------------------------------- kernels


@pytest.mark.parametrize("kernel", ["RBF", "LINEAR"])
def test_support_vectors(kernel):
    u = RNG.normal(size=(5, 4)).astype(np.float32)
    made = {"coefficients": RNG.normal(size=5).tolist(), "support_vectors": u.ravel().tolist(), "n_supports": 5}
    made |= {"rho": [0.4], "kernel_type": kernel, "kernel_params": [0.3, 0.5, 2.0]}
    source = single("SVMRegressor", **made)
    for background in (None, RNG.normal(size=(20, 4)).astype(np.float32)):
        found, _ = explained(source, {"x": X}, background=background)
        check_sum(found, found.score)


@pytest.mark.parametrize("classes", [2, 3])
def test_support_vectors_of_classes(classes):
    count, pairs_of = 2 * classes, classes - 1
    made = {"vectors_per_class": [2] * classes, "support_vectors": RNG.normal(size=count * 4).tolist()}
    made |= {"coefficients": RNG.normal(size=pairs_of * count).tolist(), "rho": [0.4, -0.2, 0.1][: max(1, classes)]}
    made |= {"kernel_type": "RBF", "kernel_params": [0.3, 0.0, 3.0], "classlabels_ints": list(range(classes))}
    found, _ = explained(single("SVMClassifier", label=INT, **made), {"x": X})
    check_sum(found, found.score)


@pytest.mark.parametrize("distances", [pairs, scanned])
@pytest.mark.parametrize("kernel", [rbf, matern3, quadratic])
def test_kernels_that_are_written_out(kernel, distances):
    net = Net(np.float32)
    source = net.model(kernel(net, distances(net)))
    x = np.random.default_rng(3).normal(size=(50, 3)).astype(np.float32)
    found, _ = explained(source, {"x": x})
    check_sum(found, found.score)


# ---------------------------------------------------------------------------------------------------- no base value


U = RNG.normal(size=20).tolist()
POLYNOMIAL = {"coefficients": U[:5], "support_vectors": U, "n_supports": 5, "rho": [0.4], "kernel_type": "POLY"}
POLYNOMIAL["kernel_params"] = [0.3, 0.5, 2.0]
TWO = {"x": (FLOAT, ["N", 2]), "z": (FLOAT, ["N", 2])}
WITHOUT = {
    "the chosen tree": (joined(forest(20, outputs=["y"], aggregate_function="MIN")), {}),
    "a nonlinear layer": (joined(forest(21), plain("Relu", "t", "y")), {}),
    "a product with data": (
        joined(forest(22), plain("Gemm", "x", "w", "l"), plain("Mul", "t", "l", "y"), w=W),
        {},
    ),
    "a layer upstream": (joined(plain("Gemm", "x", "w", "c"), forest(23, ["c"], ["y"]), w=RNG.normal(size=(4, 4))), {}),
    "a rule of its own": (
        joined(forest(24, targets=2), plain("Gemm", "t", "w", "y"), w=RNG.normal(size=(2, 1))),
        {"composite": "epsilon_plus", "rules": [("Gemm", "ZPlus")]},
    ),
    "a large ε": (joined(forest(25), plain("Add", "t", "b", "y"), b=1), {"composite": "epsilon(epsilon=0.1)"}),
    "a polynomial": (single("SVMRegressor", **POLYNOMIAL), {}),
    "an input that is not explained": (
        joined(plain("Concat", "x", "z", "c", axis=1), forest(26, ["c"], ["y"]), inputs=TWO),
        {"inputs": ["x"]},
    ),
    "shares of one": (joined(forest(27, outputs=["y"])), {"initial": "one"}),
    "a positive seed": (joined(forest(28, outputs=["y"])), {"composite": "deep_taylor"}),
}


@pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
@pytest.mark.parametrize("name", WITHOUT)
def test_no_number_where_it_depends_on_the_sample(name):
    source, options = WITHOUT[name]
    feeds = {i.name: X[:, : i.type.tensor_type.shape.dim[1].dim_value] for i in source.graph.input}
    found, interface = explained(source, feeds, **options)
    assert found.base_value is None and found.raw_score is None
    assert interface.has_base and interface.base_values is None


def test_a_gradient_and_a_network_have_no_base():
    dense = joined(plain("Gemm", "x", "w", "y"), w=RNG.normal(size=(4, 2)))
    found, interface = explained(dense, {"x": X}, "epsilon")
    assert found.base_value is None and not interface.has_base and interface.base_values is None


def test_the_plan_says_why_there_is_none():
    source, _ = WITHOUT["a nonlinear layer"]
    assert any("need not add up to the score: Relu" in note for note in onnxlrp.inspect(source).notes)


def test_values_that_do_not_fit_the_output_are_left_out():
    """A damaged or foreign file may say anything."""
    made = onnxlrp.convert(joined(forest(1, outputs=["y"], targets=3)))
    proto = made.to_proto()
    for entry in proto.metadata_props:
        if entry.key == "onnxlrp.base_values":
            entry.value = "[1.0, 2.0]"
    found = onnxlrp.Explainer(proto, providers=["CPUExecutionProvider"])({"x": X})
    assert found.base_value is None and found.raw_score is None


def test_metadata_carries_the_numbers():
    interface = onnxlrp.convert(joined(forest(1, outputs=["y"], targets=3))).interface
    assert Interface.from_metadata(interface.to_metadata()) == interface
    earlier = {k: v for k, v in interface.to_metadata().items() if k != "onnxlrp.base_values"}
    assert Interface.from_metadata(earlier) == dataclasses.replace(interface, base_values=None)


@pytest.mark.parametrize("options", [{}, {"targets": 2}, {"target": "weights"}, {"interactions": True}])
def test_no_samples(options):
    """An empty batch has no base values and no relevance, of as many columns as ever."""
    source = joined(forest(1, outputs=["y"], targets=3))
    found = onnxlrp.Explainer(onnxlrp.convert(source, **options))({"x": X[:0]})
    targets = (2,) if "targets" in options else ()
    assert found.relevance["x"].shape == (0, *targets, 4)
    assert found.base_value is not None and found.base_value.shape == (0, *targets)
    assert found.raw_score is not None and found.raw_score.shape == (0, *targets)


def test_no_samples_of_a_softmax():
    """The raw score of a skipped softmax is what relevance and base value add up to."""
    found = onnxlrp.Explainer(onnxlrp.convert(classifier(3, post_transform="SOFTMAX")))({"x": X[:0]})
    assert found.raw_score is not None and found.raw_score.shape == (0,)
