"""`auto`: which rule a layer gets, what gates get, and that its text says it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from onnx.numpy_helper import from_array
from onnx.numpy_helper import to_array as onnx_array

import onnxlrp
from onnxlrp import composites
from onnxlrp.composites import Auto, Role
from onnxlrp.errors import InputError
from onnxlrp.rules import Epsilon, Flat, Gamma
from tests.plan.models import model

PICTURE = Role("convolution", first=True, spatial=2, channels=3, overlaps=True)


def explain(proto, x: np.ndarray, composite="auto", **options) -> np.ndarray:
    explained = onnxlrp.convert(proto, composite, **options)
    return onnxlrp.Explainer(explained)({"x": x}).relevance["x"]


# ---------------------------------------------------------------------------------------------------- rules of layers


@pytest.mark.parametrize(
    ("role", "rule"),
    [
        (Role("convolution", spatial=2, convolutions=8), Gamma(0.1)),
        (Role("convolution", spatial=3, convolutions=9), Gamma(0.25)),
        (Role("convolution", spatial=2, convolutions=4, on_map=True), Gamma(1.0)),
        (Role("convolution", spatial=1), Epsilon()),
        (Role("convolution", spatial=0), Epsilon()),
        (Role("convolution", spatial=2, last=True), Epsilon()),
        (Role("dense"), Epsilon()),
        (Role("dense", last=True), Epsilon()),
        (PICTURE, Gamma(0.1)),
    ],
)
def test_rules_of_auto(role, rule):
    found, why = Auto().layer(role)
    assert found == rule and why.startswith("auto: ")


@pytest.mark.parametrize(
    ("role", "rule"),
    [
        (Role("dense"), Gamma(0.1)),
        (Role("dense", last=True), Epsilon()),
        (Role("convolution", first=True, spatial=2, convolutions=9), Gamma(0.1)),
        (Role("convolution", first=True, spatial=2, convolutions=9, overlaps=True), Gamma(0.25)),
        (Role("convolution", spatial=2, convolutions=9), Gamma(0.25)),
        (Role("recurrent"), Epsilon()),
    ],
)
def test_attention_over_patches(role, rule):
    composite, why = Auto().for_model(attention=True, convolutions=1, pictures=True, patches=True)
    assert why.startswith("attention over patches") and composite.product == "signal"
    assert composite.layer(role)[0] == rule


@pytest.mark.parametrize("role", [PICTURE, dataclasses.replace(PICTURE, on_map=True, convolutions=9)])
def test_gamma_as_given(role):
    assert Auto(gamma=0.5).layer(role)[0] == Gamma(0.5)


@pytest.mark.parametrize(
    ("change", "flat"),
    [
        ({}, True),
        ({"channels": 1}, True),
        ({"channels": 4}, False),
        ({"channels": 0}, False),
        ({"spatial": 1}, False),
        ({"spatial": 3}, False),
        ({"overlaps": False}, False),
        ({"first": False}, False),
        ({"last": True}, False),
    ],
)
def test_a_flat_stem_on_request(change, flat):
    """On grey and colour pictures alone: elsewhere every channel would get the same."""
    rule, _ = Auto(flat_stem=True).layer(Role(**(vars(PICTURE) | change)))
    assert (rule == Flat()) is flat


BOXES = ("epsilon_gamma_box", "vgg_overview")


@pytest.mark.parametrize(
    "text", [*sorted({*composites.COMPOSITES} - {*BOXES}), "auto(gamma=0.25, flat_stem=True)", "attn_lrp(gamma=0.5)"]
)
def test_the_text_of_a_composite_is_read_again(text):
    assert str(composites.parse(text)) == text
    assert composites.parse(str(composites.parse(text))) == composites.parse(text)


def test_zero_params_of_a_composite_go_to_every_rule_that_has_none():
    graph = "tiny (float[N, 2] x) => (float[N, 2] y) { h = Gemm(x, w, b)  r = Relu(h)  y = Gemm(r, w, b) }"
    proto = model(graph, {"w": (2, 2), "b": (2,)})
    for composite in ("auto(zero_params='bias')", "epsilon(zero_params='bias')"):
        steps = [step for step in onnxlrp.inspect(proto, composite).steps if step.layer]
        assert [step.rule_text for step in steps] == ["Epsilon(zero_params='bias')"] * 2
        x = np.array([[1.0, 2]], np.float32)
        explanation = onnxlrp.Explainer(onnxlrp.convert(proto, composite))({"x": x})
        assert explanation.relevance["x"].sum() == pytest.approx(explanation.score[0], rel=1e-3)
    for wrong in ("gradient(zero_params='bias')", "epsilon(zero_params='weight')"):
        with pytest.raises(InputError, match="zero_params"):
            composites.parse(wrong)


def test_a_text_without_quotes_is_refused_with_an_example():
    with pytest.raises(InputError, match=r"texts in quotes, such as .* auto\(trees='path'\)"):
        composites.parse("auto(trees=path)")


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize("convolutions", [0, 3])
@pytest.mark.parametrize("pictures", ["none", "some", "patches"])
def test_what_auto_stands_for_is_read_again(attention, convolutions, pictures):
    kinds = {"pictures": pictures != "none", "patches": pictures == "patches"}
    stands_for, why = Auto().for_model(attention=attention, convolutions=convolutions, **kinds)
    assert composites.parse(str(stands_for)) == stands_for
    assert why


# --------------------------------------------------------------------------------------------------- channels and signs


@pytest.mark.parametrize(("rank", "kernel", "stride"), [(2, 3, 1), (2, 5, 2), (3, 3, 1), (2, 4, 4), (1, 3, 1)], ids=str)
def test_channels_that_do_not_count_get_nothing(rank, kernel, stride):
    """Four modalities of which the model reads one."""
    axes = ",".join(["8"] * rank)
    text = f"""g (float[N,4,{axes}] x) => (float[N,2] y) {{
        a = Conv<strides={[stride] * rank}>(x, w) b = Relu(a) p = GlobalAveragePool(b) f = Flatten(p)
        y = MatMul(f, v) }}"""
    proto = model(text, {"w": (4, 4, *[kernel] * rank), "v": (4, 2)})
    w = proto.graph.initializer[0]
    values = np.array(onnx_array(w))
    values[:, 1:] = 0
    w.CopyFrom(from_array(values, "w"))
    r = explain(proto, np.random.default_rng(0).uniform(size=(2, 4, *[8] * rank)).astype(np.float32))
    share = np.abs(r).sum(axis=(0, *range(2, rank + 2)))
    assert share[0] > 0 and not share[1:].any()


@pytest.mark.parametrize("pooled", [False, True])
def test_a_negative_score_of_a_convolution(pooled):
    """z⁺ gives a map of zeros, because the last convolution has no positive weight; ε shares the whole score."""
    end = "p = GlobalAveragePool(d) y = Flatten(p)" if pooled else "y = Identity(d)"
    shape = "N,1" if pooled else "N,1,8,8"
    text = f"""g (float[N,3,8,8] x) => (float[{shape}] y) {{
        a = Conv<pads=[1,1,1,1]>(x, w0) b = Relu(a) c = Conv<pads=[1,1,1,1]>(b, w1) r = Relu(c)
        d = Conv(r, w2) {end} }}"""
    proto = model(text, {"w0": (6, 3, 3, 3), "w1": (6, 6, 3, 3), "w2": (1, 6, 1, 1)})
    last = proto.graph.initializer[2]
    last.CopyFrom(from_array(-np.abs(onnx_array(last)), "w2"))
    x = np.random.default_rng(1).uniform(size=(2, 3, 8, 8)).astype(np.float32)
    options = {} if pooled else {"target": "weights"}
    explainer = onnxlrp.Explainer(onnxlrp.convert(proto, "auto", **options))
    found = explainer({"x": x})
    scores = found.outputs["y"].reshape(2, -1).sum(1)
    assert (scores < 0).all()
    np.testing.assert_allclose(found.relevance["x"].sum((1, 2, 3)), scores, rtol=1e-2)
    assert not explain(proto, x, "epsilon_plus", **options).any()


# ---------------------------------------------------------------------------------------------------- gates

ATTENTION = """k = MatMul(x, w) t = Transpose<perm=[0,2,1]>(k) s = MatMul(x, t) p = Softmax(s) v = MatMul(p, x)
    h = Add(x, v)"""
GATES = {
    "Sigmoid": "g = Sigmoid(b)",
    "Sigmoid written out": "n = Neg(b) e = Exp(n) o = Add(one, e) g = Div(one, o)",
    "HardSigmoid": "g = HardSigmoid(b)",
    "Softmax": "g = Softmax(b)",
    "1 − Sigmoid": "q = Sigmoid(b) g = Sub(one, q)",
}
SOFT = {"Relu": "g = Relu(b)", "Gelu": "g = Gelu(b)", "SiLU": "q = Sigmoid(b) g = Mul(b, q)"}


def unit(gate: str, attention: bool = True):
    """Perhaps attention, then a gated linear unit, summed."""
    body = ATTENTION if attention else "h = Identity(x)"
    text = f"""g (float[N,5,4] x) => (float[N,4] y) <float one = {{1}}, int64[1] axis = {{1}}> {{
        {body} a = MatMul(h, wa) b = MatMul(h, wb) {gate} z = Mul(a, g) u = MatMul(z, wo)
        y = ReduceMean<keepdims=0>(u, axis) }}"""
    return model(text, dict.fromkeys(("w", "wa", "wb", "wo"), (4, 4)))


def why_of(proto, composite="auto") -> str:
    """Why the plan gives what to the product of a gated unit."""
    rows = [r for r in onnxlrp.inspect(proto, composite).rows() if r.operator == "Mul" and r.rule == "Norm"]
    (why,) = [r.why for r in rows] or ["none"]
    return why


@pytest.mark.parametrize("gate", GATES)
def test_gates_get_nothing_in_models_with_attention(gate):
    assert why_of(unit(GATES[gate])).startswith("the signal takes all, the gate none")
    assert why_of(unit(GATES[gate]), "attn_lrp").startswith("product of data: half each")


@pytest.mark.parametrize("gate", SOFT)
def test_rectified_operands_share_by_halves_there(gate):
    assert why_of(unit(SOFT[gate])).startswith("product of data: half each")
    assert why_of(unit(SOFT[gate], attention=False)).startswith("the signal takes all, the rectified operand none")


def test_attention_itself_shares_by_halves():
    plan = onnxlrp.inspect(unit(GATES["Sigmoid"]))
    assert str(plan).startswith("auto (attention: ")
    assert len([r for r in plan.rows() if r.why.startswith("product of data: half each")]) == 2


def test_relevance_is_bounded_at_a_half_open_gate():
    """Under AttnLRP the share of a gate at σ(t)·a grows as 1/t; under `auto` nothing does."""
    proto = unit(GATES["Sigmoid"])
    x = np.random.default_rng(3).normal(size=(200, 5, 4)).astype(np.float32)
    explainer = onnxlrp.Explainer(onnxlrp.convert(proto))
    size = np.abs(explainer({"x": x}, target=0).relevance["x"]).sum((1, 2))
    plain = np.abs(onnxlrp.Explainer(onnxlrp.convert(proto, "gradient_x_input"))({"x": x}, target=0).relevance["x"])
    assert (size <= 3 * plain.sum((1, 2))).all()


@pytest.mark.parametrize("opening", [1.0, 0.1, 0.01, 0.001])
def test_a_gates_opening_does_not_matter(opening):
    """y = a·σ(b): all relevance goes through a, whatever b is."""
    text = """g (float[N,2] x) => (float[N,1] y)
        <float[2,1] wa = {1, 0}, float[2,1] wb = {0, 1}, float[1,1] one = {1}> {
        a = MatMul(x, wa) b = MatMul(x, wb) s = Sigmoid(b) z = Mul(a, s) y = MatMul(z, one) }"""
    x = np.array([[2.0, opening]], np.float32)
    score = 2 / (1 + np.exp(-opening))
    np.testing.assert_allclose(explain(model(text), x, Auto(halves=True)), [[score, 0]], rtol=1e-4)
