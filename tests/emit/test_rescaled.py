"""DeepLIFT against its formula on small networks, and its sum against the change of the score on others."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import helper, numpy_helper

import onnxlrp
from onnxlrp import composites
from onnxlrp.errors import InputError, NothingToExplainError, UnsupportedOperatorError
from onnxlrp.graph.provenance import RULE
from tests.operators.case import reference
from tests.oracle.compare import Explained

Array = np.ndarray
# The quotient of changes is computed where it is not taken too.
pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning", "ignore:divide by:RuntimeWarning")
RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 4))


def model(body: str, x: str = "double[N, 4] x", y: str = "double[N, 3] y", **shapes: tuple[int, ...]):
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> g ({x}) => ({y}) {{ {body} }}')
    rng = np.random.default_rng(3)
    proto.graph.initializer.extend(numpy_helper.from_array(rng.normal(size=s), name) for name, s in shapes.items())
    return proto


def weights(proto: onnx.ModelProto) -> dict[str, Array]:
    return {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


ACTIVATIONS = {
    "Relu(z)": lambda z: np.maximum(z, 0),
    "Sigmoid(z)": sigmoid,
    "Tanh(z)": np.tanh,
    "Softplus(z)": lambda z: np.log1p(np.exp(z)),
    "Elu<alpha=0.5>(z)": lambda z: np.where(z > 0, z, 0.5 * np.expm1(z)),
    "Exp(z)": np.exp,
    "Floor(z)": np.floor,
    "Max(z, k)": lambda z: np.maximum(z, 0.2),
    "Clip(z, , k)": lambda z: np.minimum(z, 0.2),
    "Mul(z, z)": lambda z: z * z,
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("baseline", [0.0, 0.3, [0.1, -0.2, 0.5, 1.0]], ids=str)
def test_an_activation_between_two_layers(activation, baseline):
    proto = model(f"z = Gemm(x, w, b) h = {activation} y = MatMul(h, v)", w=(4, 6), b=(6,), v=(6, 3))
    proto.graph.initializer.append(numpy_helper.from_array(np.array(0.2), "k"))
    known, f, start = weights(proto), ACTIVATIONS[activation], np.broadcast_to(baseline, (1, 4))
    z, z0 = (a @ known["w"] + known["b"] for a in (X, start))
    multiplier = (f(z) - f(z0)) / (z - z0) * known["v"][:, 1]
    ours = Explained(proto, composite=f"deep_lift(baseline={baseline})").relevance({"x": X}, target=[1])["x"]
    np.testing.assert_allclose(ours, (X - start) * (multiplier @ known["w"].T), rtol=1e-9, atol=1e-12)


def test_a_unit_that_does_not_change():
    """The derivative stands in for 0/0, and the input's changes there cancel out."""
    proto = model("z = MatMul(x, w) h = Sigmoid(z) y = MatMul(h, v)", x="double[N, 2] x")
    w, v = np.array([[1.0, 1.0], [1.0, -1.0]]), np.ones((2, 3))
    proto.graph.initializer.extend([numpy_helper.from_array(w, "w"), numpy_helper.from_array(v, "v")])
    x = np.array([[0.7, 0.7]])
    ours = Explained(proto, composite="deep_lift").relevance({"x": x}, target=[0])["x"]
    changing, still = (sigmoid(1.4) - 0.5) / 1.4, 0.25
    np.testing.assert_allclose(ours, [[0.7 * (changing + still), 0.7 * (changing - still)]])


PICTURE = "double[N, 2, 9, 7] x"
NETS = {
    "overlapping pools": (
        "c = Conv(x, w) d = Relu(c) p = MaxPool<kernel_shape=[3, 3], strides=[2, 1]>(d) g = GlobalAveragePool(p) "
        "h = Flatten(g) y = MatMul(h, v)",
        {"x": PICTURE, "w": (5, 2, 2, 2), "v": (5, 3)},
    ),
    "a global maximum": (
        "c = Conv(x, w) g = GlobalMaxPool(c) h = Flatten(g) y = MatMul(h, v)",
        {"x": PICTURE, "w": (5, 2, 2, 2), "v": (5, 3)},
    ),
    "the largest of an axis": (
        "a = MatMul(x, w) m = ReduceMax<keepdims=1>(a, one) b = Sub(a, m) c = Tanh(b) y = MatMul(c, v)",
        {"w": (4, 5), "v": (5, 3)},
    ),
    "a gate and a residual": (
        "a = MatMul(x, w) s = Sigmoid(a) b = MatMul(x, u) t = Tanh(b) c = Mul(s, t) d = Add(c, x) y = MatMul(d, v)",
        {"w": (4, 4), "u": (4, 4), "v": (4, 3)},
    ),
    "products of data": (
        "q = MatMul(x, w) k = MatMul(x, u) t = Transpose<perm=[0, 2, 1]>(k) a = MatMul(q, t) b = Tanh(a) "
        "c = MatMul(b, x) m = ReduceMean<keepdims=0>(c, one) y = MatMul(m, v)",
        {"x": "double[N, 5, 4] x", "w": (4, 4), "u": (4, 4), "v": (4, 3)},
    ),
    "a batch that is merged with another axis": (
        "f = Reshape(x, flat) a = MatMul(f, w) b = Tanh(a) r = Reshape(b, rows) m = ReduceMean<keepdims=0>(r, one) "
        "y = MatMul(m, v)",
        {"x": "double[N, 5, 4] x", "w": (4, 6), "v": (6, 3)},
    ),
    "any length": (
        "a = MatMul(x, w) b = Tanh(a) m = ReduceMean<keepdims=0>(b, one) y = MatMul(m, v)",
        {"x": "double[N, T, 4] x", "w": (4, 6), "v": (6, 3)},
    ),
    "a fixed batch": (
        "r = Reshape(x, fixed) a = MatMul(r, w) b = Tanh(a) y = MatMul(b, v)",
        {"x": "double[3, 4] x", "y": "double[3, 3] y", "w": (4, 6), "v": (6, 3)},
    ),
    "a softmax": (
        "a = MatMul(x, w) b = Softmax(a) c = Mul(b, x) y = MatMul(c, v)",
        {"w": (4, 4), "v": (4, 3)},
    ),
    "a logarithm of a softmax": (
        "a = MatMul(x, w) b = LogSoftmax(a) c = Mul(b, x) y = MatMul(c, v)",
        {"w": (4, 4), "v": (4, 3)},
    ),
    "attention": (
        "q = MatMul(x, w) k = MatMul(x, u) t = Transpose<perm=[0, 2, 1]>(k) s = MatMul(q, t) "
        "p = Softmax(s) a = MatMul(p, x) n = LayerNormalization(a, g, h) "
        "m = ReduceMean<keepdims=0>(n, one) y = MatMul(m, v)",
        {"x": "double[N, 5, 4] x", "w": (4, 4), "u": (4, 4), "v": (4, 3), "g": (4,), "h": (4,)},
    ),
    "norms": (
        "c = Conv(x, w) a = InstanceNormalization(c, g, h) t = Tanh(a) d = Conv(t, r) "
        "b = GroupNormalization<num_groups=2, stash_type=11>(d, g, h) m = ReduceL2<keepdims=0>(b, axes) "
        "y = MatMul(m, v)",
        {"x": PICTURE, "w": (6, 2, 2, 2), "r": (6, 6, 1, 1), "g": (6,), "h": (6,), "v": (6, 3)},
    ),
    "a norm that is written out": (
        "a = MatMul(x, w) m = ReduceMean(a, one) d = Sub(a, m) s = Mul(d, d) e = ReduceMean(s, one) "
        "o = Add(e, epsilon) f = Sqrt(o) n = Div(d, f) t = Tanh(n) y = MatMul(t, v)",
        {"w": (4, 5), "v": (5, 3)},
    ),
    "reductions": (
        "a = MatMul(x, w) b = ReduceSumSquare(a, one) c = ReduceL1(a, one) d = ReduceLogSumExp(a, one) e = Exp(a) "
        "f = ReduceLogSum(e, one) h = ReduceL2(a, one) i = ReduceMin(a, one) "
        "j = Concat<axis=1>(b, c, d, f, h, i) k = Tanh(j) y = MatMul(k, v)",
        {"w": (4, 5), "v": (6, 3)},
    ),
    "extremes of two": (
        "a = MatMul(x, w) b = MatMul(x, u) c = Max(a, b) d = Min(a, b, x) e = Exp(c) g = Div(d, e) "
        "f = Tanh(g) y = MatMul(f, v)",
        {"w": (4, 4), "u": (4, 4), "v": (4, 3)},
    ),
    "a constant over data": (
        "a = MatMul(x, w) b = Exp(a) c = Div(k, b) y = MatMul(c, v)",
        {"w": (4, 6), "k": (6,), "v": (6, 3)},
    ),
}
INTEGERS = {"axes": [2, 3], "one": [1], "flat": [-1, 4], "rows": [-1, 5, 6], "fixed": [3, 4]}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("baseline", [0.0, 0.4])
def test_the_sum_is_the_change_of_the_score(name, baseline):
    body, options = NETS[name]
    proto = model(body, **options)
    proto.graph.initializer.extend(numpy_helper.from_array(np.array(v), k) for k, v in INTEGERS.items() if k in body)
    sizes = [d.dim_value or 3 for d in proto.graph.input[0].type.tensor_type.shape.dim]
    x = np.random.default_rng(8).normal(size=sizes)
    if "epsilon" in body:
        proto.graph.initializer.append(numpy_helper.from_array(np.array(1e-3), "epsilon"))
    ours = Explained(proto, composite=f"deep_lift(baseline={baseline})", relevance_at=["a" if "a = " in body else "c"])
    found, before = (ours.run({"x": v}, target=[2]) for v in (x, np.full_like(x, baseline)))
    change = (found["y"] - before["y"])[:, 2]
    relevance = found["x_relevance"].reshape(3, -1)
    np.testing.assert_allclose(relevance.sum(1), change, rtol=1e-8, atol=1e-10)
    assert np.abs(change).max() > 1e-2
    np.testing.assert_allclose(before["x_relevance"], 0, atol=1e-12)


CELLS = {
    "LSTM": {"hidden_size": 3},
    "two directions": {"op": "LSTM", "hidden_size": 3, "direction": "bidirectional"},
    "peepholes and a joint gate": {"op": "LSTM", "hidden_size": 3, "input_forget": 1, "clip": 0.7},
    "GRU": {"hidden_size": 3},
    "a reset gate downstream": {"op": "GRU", "hidden_size": 3, "linear_before_reset": 1},
    "RNN": {"hidden_size": 3, "direction": "reverse"},
}


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("lengths", [False, True], ids=["all steps", "lengths"])
def test_recurrent_cells(name, lengths):
    """Relevance through all steps adds up to the change of the score."""
    attributes = dict(CELLS[name])
    op = attributes.pop("op", name)
    gates, sides = {"LSTM": 4, "GRU": 3, "RNN": 1}[op], 2 if attributes.get("direction") == "bidirectional" else 1
    shapes = {"w": (sides, gates * 3, 4), "r": (sides, gates * 3, 3), "b": (sides, gates * 6), "v": (sides * 3, 3)}
    operands = ["x", "w", "r", "b", "lengths" if lengths else ""]
    if "input_forget" in attributes:
        operands, shapes = [*operands, "", "", "p"], shapes | {"p": (sides, 9)}
    nodes = [
        helper.make_node(op, operands, ["all", "last"], **attributes),
        helper.make_node("Transpose", ["last"], ["t"], perm=[1, 0, 2]),
        helper.make_node("Flatten", ["t"], ["f"]),
        helper.make_node("MatMul", ["f", "v"], ["y"]),
    ]
    proto = model("y = MatMul(x, v)", "double[6, N, 4] x" + (", int32[N] lengths" if lengths else ""), **shapes)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    explained = onnxlrp.convert(proto, "deep_lift(baseline=0.4)", inputs=["x"])
    more, run = {"lengths": np.array([6, 2, 4], np.int32)} if lengths else {}, reference(explained.to_proto())
    x = np.random.default_rng(8).normal(size=(6, 3, 4))
    found, before = (run({"x": v, "target": np.array([1]), **more}) for v in (x, np.full_like(x, 0.4)))
    change = (found["y"] - before["y"])[:, 1]
    np.testing.assert_allclose(found["x_relevance"].sum((0, 2)), change, rtol=1e-8, atol=1e-10)


def test_another_input_keeps_its_value():
    """The baseline then has as many samples as the input, and is computed beside it."""
    proto = model(
        "a = MatMul(x, w) b = Add(a, t) c = Tanh(b) y = MatMul(c, v)",
        "double[N, 4] x, double[N, 6] t",
        w=(4, 6),
        v=(6, 3),
    )
    ours, t = Explained(proto, composite="deep_lift", inputs=["x"]), RNG.normal(size=(3, 6))
    found, before = (ours.run({"x": v, "t": t}, target=[1]) for v in (X, np.zeros_like(X)))
    np.testing.assert_allclose(found["x_relevance"].sum(1), (found["y"] - before["y"])[:, 1])


def test_inner_values_have_relevance():
    proto = model("z = Gemm(x, w, b) h = Tanh(z) y = MatMul(h, v)", w=(4, 6), b=(6,), v=(6, 3))
    ours = Explained(proto, composite="deep_lift", relevance_at=["h"])
    found, before = (ours.run({"x": v}, target=[0]) for v in (X, np.zeros_like(X)))
    np.testing.assert_allclose(found["h_relevance"].sum(1), (found["y"] - before["y"])[:, 0])


def test_several_targets():
    proto = model("z = Gemm(x, w, b) h = Tanh(z) y = MatMul(h, v)", w=(4, 6), b=(6,), v=(6, 3))
    one = [Explained(proto, composite="deep_lift").relevance({"x": X}, target=[k])["x"] for k in (2, 0)]
    several = Explained(proto, composite="deep_lift", targets=2).relevance({"x": X}, target=[[2, 0]])["x"]
    np.testing.assert_allclose(several, np.stack(one, 1))


def test_a_probability_is_explained_by_its_logit():
    logits = "z = Gemm(x, w, b) h = Tanh(z) y = MatMul(h, v)"
    proto = model(f"{logits.replace('y =', 'l =')} y = Softmax(l)", w=(4, 6), b=(6,), v=(6, 3))
    plain = Explained(model(logits, w=(4, 6), b=(6,), v=(6, 3)), composite="deep_lift")
    ours = Explained(proto, composite="deep_lift").relevance({"x": X}, target=[1])["x"]
    np.testing.assert_allclose(ours, plain.relevance({"x": X}, target=[1])["x"])
    whole = Explained(proto, composite="deep_lift", explain_probability=True)
    found, before = (whole.run({"x": v}, target=[1]) for v in (X, np.zeros_like(X)))
    np.testing.assert_allclose(found["x_relevance"].sum(1), (found["y"] - before["y"])[:, 1])


@pytest.mark.parametrize(
    ("name", "constant"), [("overlapping pools", True), ("a fixed batch", True), ("any length", False)]
)
def test_the_baseline_is_computed_once(name, constant):
    """Where the sizes of a sample are declared, nothing at the baseline depends on an input: a session folds it."""
    body, options = NETS[name]
    proto = model(body, **options)
    proto.graph.initializer.extend(numpy_helper.from_array(np.array(v), k) for k, v in INTEGERS.items() if k in body)
    graph = onnxlrp.convert(proto, "deep_lift").to_proto().graph
    reached = {v.name for v in graph.input}
    for node in graph.node:
        reached |= set(node.output) if reached & set(node.input) else set()
    rules = {p.value: node for node in graph.node for p in node.metadata_props if p.key == RULE}
    node = rules["the model at the baseline"]
    assert (node.output[0] not in reached) is constant


def test_onnxruntime_runs_the_file():
    proto = model("z = Gemm(x, w, b) h = Relu(z) y = MatMul(h, v)", w=(4, 6), b=(6,), v=(6, 3))
    ours = onnxlrp.Explainer(onnxlrp.convert(proto, "deep_lift"))({"x": X}, target=2).relevance["x"]
    np.testing.assert_allclose(ours, Explained(proto, composite="deep_lift").relevance({"x": X}, target=[2])["x"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "a = MatMul(x, w) b = ReduceProd(a, k1) y = MatMul(b, v1)",
            "ReduceProd .*it is neither linear nor elementwise",
        ),
        ("a = MatMul(x, w) t, i = TopK(a, k) y = MatMul(t, u)", "TopK .*it chooses by values"),
        ("a = MatMul(x, w) b = Exp(x) c = Pow(b, a) y = MatMul(c, v)", "Pow .*several operands depend on the input"),
        ("a = MatMul(x, w) n, m = LayerNormalization(a, k2) y = MatMul(m, v1)", "no multiplier for its output 1"),
        ("a = MatMul(x, w) c = Greater(a, x) b = Where(c, a, x) y = MatMul(b, v)", "Where .*operand 0 depends on"),
    ],
)
def test_operators_without_a_multiplier(body, said):
    proto = model(body, w=(4, 4), v=(4, 3), u=(2, 3))
    known = {"k": np.array([2]), "k1": np.array([1]), "k2": np.ones(4), "v1": np.ones((1, 3))}
    proto.graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in known.items() if n in body)
    with pytest.raises(UnsupportedOperatorError, match=said):
        onnxlrp.convert(proto, "deep_lift")


def test_whole_numbers_have_no_baseline():
    proto = model("a = Cast<to=11>(x) b = Tanh(a) y = MatMul(b, v)", x="int64[N, 4] x", v=(4, 3))
    with pytest.raises(NothingToExplainError, match="the input 'x' is INT64, and deep_lift runs the model at points"):
        onnxlrp.convert(proto, "deep_lift")


def test_texts_are_read_again_and_checked():
    assert str(composites.parse("deep_lift(baseline=0.5)")) == "deep_lift(baseline=0.5)"
    with pytest.raises(InputError, match="baseline must be finite"):
        composites.parse("deep_lift(baseline=1e999)")


def test_the_plan_says_what_is_computed():
    plan = onnxlrp.inspect(model("z = MatMul(x, w) y = Tanh(z)", w=(4, 3)), "deep_lift")
    assert {row.why for row in plan.rows()} == {"its change from the baseline, over that of its operand"}
    assert "the model runs at the baseline too" in str(plan)


@pytest.mark.parametrize("baseline", [0, 4])
def test_ids_change_by_their_embeddings(baseline):
    """The relevance of ids adds up to the change from a text of one id, and an id that is the baseline's gets none."""
    proto = model(
        "e = Gather(table, ids) a = MatMul(e, w) b = Tanh(a) m = ReduceMean<keepdims=0>(b, one) y = MatMul(m, v)",
        "int64[N, T] ids",
        table=(9, 5),
        w=(5, 6),
        v=(6, 3),
    )
    proto.graph.initializer.append(numpy_helper.from_array(np.array([1]), "one"))
    ours = Explained(proto, composite=f"deep_lift(baseline={baseline})")
    ids = np.random.default_rng(2).integers(0, 9, size=(3, 7))
    ids[0, 2] = baseline
    found, before = (ours.run({"ids": v}, target=[1]) for v in (ids, np.full_like(ids, baseline)))
    np.testing.assert_allclose(found["ids_relevance"].sum(1), (found["y"] - before["y"])[:, 1])
    assert found["ids_relevance"][0, 2] == 0
