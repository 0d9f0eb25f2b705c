"""Coefficients of inner values: R = c · value, finite at 0, and what relevance patching makes of them."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxlrp
from onnxlrp.errors import InputError
from tests.oracle.compare import Explained

pytestmark = [pytest.mark.cheapest_forms, pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")]
RNG = np.random.default_rng(0)
W, V, U, B = (RNG.normal(size=shape) for shape in ((4, 5), (5, 5), (5, 3), (5,)))
Z = W * (np.arange(5) != 1)
CLEAN, CORRUPTED = RNG.normal(size=(2, 3, 4))
COMPOSITES = [
    "lrp0",
    "epsilon(epsilon=1e-12)",
    "epsilon_plus",
    "epsilon_gamma_box(low=-9, high=9)",
    "attn_lrp",
    "cp_lrp",
]


def model(body: str, shape: str = "N, 4") -> onnx.ModelProto:
    """A model in doubles with the weights W, V, U, the bias B, and Z, which is W without one column."""
    text = f'<ir_version: 10, opset_import: ["" : 21]> net (double[{shape}] x) => (double[N, 3] y) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    for name, array in (("W", W), ("V", V), ("U", U), ("B", B), ("Z", Z)):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


def run(proto: onnx.ModelProto, x: np.ndarray, composite: str, *names: str, **options) -> dict[str, np.ndarray]:
    """Outputs of the explained model for class 1: c_, v_ and r_ stand for the coefficient, value and relevance."""
    ours = Explained(proto, composite=composite, coefficients_at=names, relevance_at=names, **options)
    outputs, face = ours.run({"x": x}, target=[1]), ours.interface
    kinds = (("c", face.coefficients_at), ("v", face.values_at), ("r", face.relevance_at))
    return {f"{kind}_{name}": outputs[where[name]] for kind, where in kinds for name in names} | {"y": outputs["y"]}


@pytest.mark.parametrize("composite", ["lrp0", "epsilon", "attn_lrp", "gradient", "gradient_x_input", "deep_lift"])
def test_a_patch_of_a_linear_network_is_exact(composite):
    """The change of an inner value, times its coefficient, is the change of the score; biases cancel."""
    proto = model("h = MatMul(x, W)  a = Add(h, B)  b = MatMul(a, V)  y = MatMul(b, U)")
    clean, corrupted = (run(proto, x, composite, "a", "b") for x in (CLEAN, CORRUPTED))
    for name in ("a", "b"):
        change = ((corrupted[f"v_{name}"] - clean[f"v_{name}"]) * clean[f"c_{name}"]).sum(1)
        np.testing.assert_allclose(change, (corrupted["y"] - clean["y"])[:, 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("function", ["Relu", "Tanh", "Gelu", "Elu", "Sigmoid", "HardSwish", "Softplus", "LeakyRelu"])
def test_relevance_is_the_coefficient_times_the_value(composite, function):
    proto = model(
        f"h = Gemm(x, W, B)  a = {function}(h)  p = MatMul(a, V)  s = Add(p, h)  b = {function}(s)  y = MatMul(b, U)"
    )
    found = run(proto, CLEAN, composite, "h", "a", "s", "b", "y")
    for name in ("h", "a", "s", "b", "y"):
        assert np.isfinite(found[f"c_{name}"]).all()
        product = found[f"c_{name}"] * found[f"v_{name}"]
        np.testing.assert_allclose(product, found[f"r_{name}"], rtol=1e-7, atol=1e-9)


def test_the_identity_rule_by_hand():
    """LRP-0 of a GELU network: the transposed weights, and f(z)/z at the activation."""
    proto = model("h = MatMul(x, W)  a = Gelu(h)  y = MatMul(a, U)")
    found = run(proto, CLEAN, "lrp0", "h", "a")
    np.testing.assert_allclose(found["c_a"], np.broadcast_to(U[:, 1], (3, 5)), atol=1e-12)
    np.testing.assert_allclose(found["c_h"], U[:, 1] * found["v_a"] / found["v_h"], atol=1e-9)


@pytest.mark.parametrize(("function", "slope"), [("Tanh", 1.0), ("Gelu", 0.5), ("Relu", 0.0), ("Sigmoid", 0.25)])
@pytest.mark.parametrize("moved", ["", "Reshape"])
def test_at_a_value_of_0_it_is_the_derivative(function, slope, moved):
    """The factor is the limit, however the value is laid out upstream of the activation."""
    there, back = "k = Constant<value_ints = [-1, 5, 1]>()", "l = Constant<value_ints = [-1, 5]>()"
    route = f"{there}  t = Reshape(h, k)  g = {function}(t)  {back}  a = Reshape(g, l)"
    proto = model(f"h = MatMul(x, Z)  {route if moved else f'a = {function}(h)'}  y = MatMul(a, U)")
    found = run(proto, CLEAN, "lrp0", "h")
    assert not found["v_h"][:, 1].any()
    np.testing.assert_allclose(found["c_h"][:, 1], np.full(3, slope * U[1, 1]), atol=1e-9)


def test_a_norm_and_a_gate_as_relevance_patching_has_them():
    """The norm's deviation is constant (LN rule), and each factor of a gated product takes half (half rule)."""
    parts = "m = ReduceMean<keepdims = 1>(h, k)  d = Sub(h, m)  e = Mul(d, d)  q = ReduceMean<keepdims = 1>(e, k)"
    norm = f"k = Constant<value_ints = [-1]>() {parts}  r = Sqrt(q)  n = Div(d, r)"
    proto = model(f"h = MatMul(x, W) {norm}  g = MatMul(n, V)  o = Mul(g, n)  y = MatMul(o, U)")
    found = run(proto, CLEAN, "attn_lrp", "h", "g")
    h = CLEAN @ W
    deviation = h.std(1, keepdims=True)
    n = (h - h.mean(1, keepdims=True)) / deviation
    half = 0.5 * U[:, 1]
    np.testing.assert_allclose(found["c_g"], half * n, rtol=1e-4, atol=1e-5)
    back = half * (n @ V) + (half * n) @ V.T
    wanted = (back - back.mean(1, keepdims=True)) / deviation
    np.testing.assert_allclose(found["c_h"], wanted, rtol=1e-3, atol=1e-4)


def test_gradients_and_multipliers():
    proto = model("h = Gemm(x, W, B)  a = Tanh(h)  y = MatMul(a, U)")
    h = CLEAN @ W + B
    for composite in ("gradient", "gradient_x_input"):
        found = run(proto, CLEAN, composite, "h")
        np.testing.assert_allclose(found["c_h"], U[:, 1] * (1 - np.tanh(h) ** 2), atol=1e-12)
    found = run(proto, CLEAN, "deep_lift", "h")
    np.testing.assert_allclose(found["c_h"], U[:, 1] * (np.tanh(h) - np.tanh(B)) / (h - B), atol=1e-9)


def test_a_rule_without_proportion_has_none():
    """Flat gives an amount where the value is 0; integrated gradients have inputs alone."""
    proto = model("h = MatMul(x, W)  b = MatMul(h, V)  y = MatMul(b, U)")
    for rule in ("Flat()", "WSquare()"):
        with pytest.raises(InputError, match=r"'h' has no coefficient.*MatMul.*downstream"):
            onnxlrp.convert(
                proto, "lrp0", rules=[(lambda step: step.outputs[0].name == "b", rule)], coefficients_at=["h"]
            )
    with pytest.raises(InputError, match="explains inputs alone"):
        onnxlrp.convert(proto, "integrated_gradients", coefficients_at=["h"])
    with pytest.raises(InputError, match='initial="output"'):
        onnxlrp.convert(proto, "lrp0", coefficients_at=["h"], initial="one")
    with pytest.raises(InputError, match="no inner value 'nothing'"):
        onnxlrp.convert(proto, "lrp0", coefficients_at=["nothing"])


def test_a_quantised_value_has_one_where_it_is_read():
    """A value that is quantised next is computed by no session; its dequantised form is."""
    steps = "s = Constant<value = double {0.1}>()  z = Constant<value = int8 {0}>()"
    body = f"h = MatMul(x, W) {steps} f = Cast<to = 1>(h) t = Cast<to = 1>(s)  q = QuantizeLinear(f, t, z)"
    proto = model(f"{body}  d = DequantizeLinear(q, t, z)  e = Cast<to = 11>(d)  y = MatMul(e, U)")
    with pytest.raises(InputError, match=r"'f' has no coefficient.*downstream"):
        onnxlrp.convert(proto, "lrp0", coefficients_at=["f"])
    found = run(proto, CLEAN, "lrp0", "d")
    np.testing.assert_allclose(found["c_d"], np.broadcast_to(U[:, 1], (3, 5)), rtol=1e-6)


@pytest.mark.parametrize("targets", [1, 2])
def test_an_explainer_hands_them_out(targets, tmp_path):
    """Beside relevance, for each target; a file of results holds them too."""
    proto = model("h = MatMul(x, W)  a = Tanh(h)  y = MatMul(a, U)")
    explainer = onnxlrp.Explainer(onnxlrp.convert(proto, "lrp0", coefficients_at=["a"], targets=targets))
    found = explainer({"x": CLEAN}, target=[0, 2] if targets == 2 else 2)
    wanted = U[:, [0, 2]].T if targets == 2 else U[:, 2]
    np.testing.assert_allclose(found.coefficients_at["a"], np.broadcast_to(wanted, (3, *wanted.shape)), atol=1e-12)
    np.testing.assert_allclose(found.values_at["a"], np.tanh(CLEAN @ W), atol=1e-12)
    assert set(found.outputs) == {"y"} and set(explainer.outputs) == {"y"}
    results = explainer.map({"x": CLEAN}, target=[0, 2] if targets == 2 else 2, to=tmp_path / "results")
    np.testing.assert_array_equal(results["a_coefficient"], found.coefficients_at["a"])
    np.testing.assert_array_equal(results["a_value"], found.values_at["a"])


@pytest.mark.parametrize("composite", ["lrp0", "gradient"])
def test_several_targets_where_two_results_are_equal(composite):
    """Relevance is the same upstream and downstream of a ReLU."""
    proto = model("h = MatMul(x, W)  a = Relu(h)  y = MatMul(a, U)")
    names = ("a", "h", "a")
    explained = onnxlrp.convert(proto, composite, relevance_at=names, coefficients_at=names, targets=2)
    both = onnxlrp.Explainer(explained)(CLEAN, target=[0, 2])
    assert list(both.outputs) == ["y"] and list(both.relevance_at) == list(both.coefficients_at) == ["a", "h"]
    single = onnxlrp.Explainer(onnxlrp.convert(proto, composite, relevance_at=names, coefficients_at=names))
    for k, target in enumerate((0, 2)):
        one = single(CLEAN, target=target)
        for field in ("relevance_at", "coefficients_at"):
            for name in ("a", "h"):
                np.testing.assert_allclose(getattr(both, field)[name][:, k], getattr(one, field)[name], atol=1e-12)
