"""Norms in the spellings of exporters: one step, the relevance of the operator, outputs untouched; and what is none."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import parser

import onnxlrp
from tests.operators.case import onnxruntime, reference

HEAD = '<ir_version: 10, opset_import: ["" : {opset}]>\n'
PARAMETERS = {
    "last": np.array([-1]),
    "first": np.array([1]),
    "both": np.array([-2, -1]),
    "two": np.float64(2),
    "one": np.float64(1),
    "half": np.float64(0.5),
    "minus": np.float64(-0.5),
    "nil": np.float64(0),
    "quarter": np.float64(0.25),
    "four": np.float64(4),
    "eps": np.float64(1e-5),
    "below": np.float64(-1e-5),
    "large": np.float64(1e4),
}


def model(body: str, shape: str = "N, 3, 4", opset: int = 21, dtype: str = "double") -> onnx.ModelProto:
    """A product, what `body` makes of its result `h` as `b`, and a dense layer."""
    text = f"main ({dtype}[{shape}] x) => ({dtype}[{shape}] y) {{ h = MatMul (x, V) {body} y = MatMul (b, W) }}"
    made = parser.parse_model(HEAD.format(opset=opset) + text)
    rng = np.random.default_rng(0)
    weights = {k: rng.normal(size=s) for k, s in {"gamma": 4, "beta": 4, "V": (4, 4), "W": (4, 4)}.items()}
    weights |= {"row": weights["gamma"].reshape(1, 1, 4), "column": rng.normal(size=(3, 1, 1))}
    weights |= {
        "shift": rng.normal(size=(3, 1, 1)),
        "six": rng.normal(size=(6, 1, 1)),
        "seven": rng.normal(size=(6, 1, 1)),
    }
    weights |= {"per_six": weights["six"].reshape(-1), "per_seven": weights["seven"].reshape(-1)}
    floating = {"double": np.float64, "float16": np.float16}[dtype]
    for name, array in {**weights, **PARAMETERS}.items():
        kept = array if np.issubdtype(array.dtype, np.integer) else array.astype(floating)
        made.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(kept), name))
    return made


def relevance(proto: onnx.ModelProto, composite: str, x: np.ndarray) -> np.ndarray:
    explained = onnxlrp.convert(proto, composite, target="weights").to_proto()
    outputs = reference(explained)({"x": x})
    # Nothing of the model itself is touched.
    np.testing.assert_array_equal(outputs["y"], reference(proto)({"x": x})["y"])
    return outputs["x_relevance"]


def norms(proto: onnx.ModelProto, composite: str = "attn_lrp") -> list[tuple[str, str]]:
    """(operator, name) of every step that is a norm."""
    steps = onnxlrp.inspect(proto, composite).steps
    return [(s.operator, s.why.split(",")[0]) for s in steps if "written out. " in s.why]


def same(first: str, second: str, composite: str, shape: tuple[int, ...] = (2, 3, 4), **options: object) -> None:
    x = np.random.default_rng(1).normal(size=shape)
    text = ", ".join(["N", *map(str, shape[1:])])
    found = [relevance(model(body, text, **options), composite, x) for body in (first, second)]  # type: ignore[arg-type]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6, atol=1e-9)


# ---------------------------------------------------------------------------------------- layer norm

D = "m = ReduceMean (h, last) d = Sub (h, m)"
V = "v = ReduceMean (q, last) s = Add (v, eps)"
ROOT = f"{V} r = Sqrt (s)"
TAIL = "a = Mul (n, gamma) b = Add (a, beta)"
SQUARE = f"{D} q = Mul (d, d)"
SQUARES = "m = ReduceMean (h, last) p = Mul (h, h) e = ReduceMean (p, last) k = Mul (m, m) l = Sub (e, k)"
JAX = (
    "t = ReduceSum <keepdims: int = 0> (h, last) m1 = Mul (t, quarter) p = Mul (h, h) "
    "o = ReduceSum <keepdims: int = 0> (p, last) e = Mul (o, {share}) k = Mul (m1, m1) "
    "l = Sub (e, k) c = Max ({cut}, l) v1 = Unsqueeze (c, last) "
    "z = Shape (h) v = Expand (v1, z) s = Add (v, eps) r = Sqrt (s) i = Reciprocal (r) g = Mul (i, gamma) "
    "m2 = Unsqueeze (m1, last) m = Expand (m2, z) d = Sub (h, m) a = Mul (d, g) b = Add (a, beta)"
)
KERAS = f"{SQUARE} {ROOT} i = Reciprocal (r) g = Mul (i, gamma) u = Mul (h, g)"
LAYER_NORMS = {
    "powers, as torch writes it": f"{D} q = Pow (d, two) {ROOT} n = Div (d, r) {TAIL}",
    "the constant first": f"{SQUARE} v = ReduceMean (q, last) s = Add (eps, v) r = Sqrt (s) n = Div (d, r) "
    "a = Mul (gamma, n) b = Add (beta, a)",
    "times a reciprocal": f"{SQUARE} {ROOT} i = Reciprocal (r) n = Mul (d, i) {TAIL}",
    "times one over": f"{SQUARE} {ROOT} i = Div (one, r) n = Mul (i, d) {TAIL}",
    "times a power": f"{SQUARE} {V} i = Pow (s, minus) n = Mul (i, d) {TAIL}",
    "a root as a power": f"{SQUARE} {V} r = Pow (s, half) n = Div (d, r) {TAIL}",
    "the mean taken twice": f"{D} o = ReduceMean (h, last) e = Sub (h, o) q = Mul (e, e) {ROOT} n = Div (d, r) {TAIL}",
    "axes taken away and put back": f"m1 = ReduceMean <keepdims: int = 0> (h, last) m = Unsqueeze (m1, last) "
    f"d = Sub (h, m) q = Mul (d, d) v1 = ReduceMean <keepdims: int = 0> (q, last) v = Unsqueeze (v1, last) "
    f"s = Add (v, eps) r = Sqrt (s) n = Div (d, r) {TAIL}",
    "the root made larger": f"{SQUARE} {ROOT} z = Shape (h) w = Expand (r, z) n = Div (d, w) {TAIL}",
    "parameters with axes of their own": f"{SQUARE} {ROOT} n = Div (d, r) a = Mul (n, row) b = Add (a, beta)",
    "as Keras writes it": f"{KERAS} k = Neg (m) t = Mul (k, g) c = Add (t, beta) b = Add (u, c)",
    "as tf.nn writes it": f"{KERAS} t = Mul (m, g) c = Sub (beta, t) b = Add (u, c)",
    "by the squares, as jax writes it": JAX.format(share="quarter", cut="nil"),
    "by the squares": f"{SQUARES} c = Relu (l) s = Add (c, eps) r = Sqrt (s) d = Sub (h, m) n = Div (d, r) {TAIL}",
    "by the squares, counted": "t = ReduceSum (h, last) m = Div (t, four) p = Mul (h, h) o = ReduceSum (p, last) "
    f"e = Div (o, four) k = Mul (m, m) l = Sub (e, k) s = Add (l, eps) r = Sqrt (s) d = Sub (h, m) "
    f"n = Div (d, r) {TAIL}",
    "the average pooled": "m = GlobalAveragePool (h) d = Sub (h, m) q = Mul (d, d) v = GlobalAveragePool (q) "
    f"s = Add (v, eps) r = Sqrt (s) n = Div (d, r) {TAIL}",
}
LAYER_NORM = "b = LayerNormalization <axis: int = -1, epsilon: float = 1e-5> (h, gamma, beta)"
PARTS = {
    "no scale": (
        f"{SQUARE} {ROOT} n = Div (d, r) b = Add (n, beta)",
        "ones = Div (gamma, gamma) b = LayerNormalization <axis: int = -1, epsilon: float = 1e-5> (h, ones, beta)",
    ),
    "no shift": (
        f"{SQUARE} {ROOT} n = Div (d, r) b = Mul (n, gamma)",
        "b = LayerNormalization <axis: int = -1, epsilon: float = 1e-5> (h, gamma)",
    ),
    "nothing behind": (
        f"{SQUARE} {ROOT} b = Div (d, r)",
        "ones = Div (gamma, gamma) b = LayerNormalization <axis: int = -1, epsilon: float = 1e-5> (h, ones)",
    ),
}


@pytest.mark.parametrize("composite", ["epsilon", "attn_lrp", "cp_lrp", "epsilon_plus", "lrp0"])
@pytest.mark.parametrize("name", LAYER_NORMS)
def test_a_layer_norm_does_not_depend_on_its_spelling(name, composite):
    same(LAYER_NORMS[name], LAYER_NORM, composite)


@pytest.mark.parametrize("name", LAYER_NORMS)
def test_a_layer_norm_is_one_step(name):
    assert norms(model(LAYER_NORMS[name])) == [("LayerNormalization", "layer norm")]
    assert len(onnxlrp.inspect(model(LAYER_NORMS[name]), "epsilon").steps) == 3


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_a_layer_norm(name):
    written, fused = PARTS[name]
    assert len(norms(model(written))) == 1
    same(written, fused, "attn_lrp")


@pytest.mark.parametrize("name", ["powers, as torch writes it", "as Keras writes it"])
def test_gradients_are_those_of_the_nodes_themselves(name):
    assert not norms(model(LAYER_NORMS[name]), "gradient")
    x = np.random.default_rng(1).normal(size=(2, 3, 4))
    found = [relevance(model(body), "gradient", x) for body in (LAYER_NORMS[name], LAYER_NORM)]
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6, atol=1e-9)


NO_LAYER_NORMS = {
    "another square": f"{D} q = Mul (h, h) {ROOT} b = Div (d, r)",
    "a variance over other axes": f"{SQUARE} v = ReduceMean (q, first) s = Add (v, eps) r = Sqrt (s) b = Div (d, r)",
    "a negative ε": f"{SQUARE} v = ReduceMean (q, last) s = Add (v, below) r = Sqrt (s) b = Div (d, r)",
    "another power": f"t = Neg (two) {SQUARE} {V} i = Pow (s, t) b = Mul (d, i)",
    "squares of another number": JAX.format(share="half", cut="nil"),
    "squares cut elsewhere": JAX.format(share="quarter", cut="one"),
    "squares of something else": f"{SQUARES} f = Tanh (h) d = Sub (f, m) s = Add (l, one) r = Sqrt (s) b = Div (d, r)",
    "no centre": f"q = Mul (h, h) {ROOT} b = Div (h, r)",
    "the mean of something else": "t = Tanh (h) m = ReduceMean (t, last) d = Sub (h, m) q = Mul (d, d) "
    f"{ROOT} b = Div (d, r)",
}


@pytest.mark.parametrize("body", NO_LAYER_NORMS.values(), ids=NO_LAYER_NORMS)
def test_what_only_looks_like_a_layer_norm(body):
    assert ("LayerNormalization", "layer norm") not in norms(model(body))
    x = np.random.default_rng(1).normal(size=(2, 3, 4))
    assert np.isfinite(relevance(model(body), "attn_lrp", x)).all()


def test_a_scale_that_is_data_is_a_product_behind_the_norm():
    """As in adaptive layer norm: the norm itself is one step, the scale keeps the rule of products."""
    body = f"{SQUARE} {ROOT} n = Div (d, r) k = MatMul (x, V) b = Mul (n, k)"
    assert norms(model(body)) == [("LayerNormalization", "layer norm")]
    assert "product of data: half each" in {s.why for s in onnxlrp.inspect(model(body), "attn_lrp").steps}


def test_a_value_inside_is_refused_by_name():
    with pytest.raises(onnxlrp.errors.InputError, match=r"'d'.*inside a step that is explained as one"):
        onnxlrp.convert(
            model(LAYER_NORMS["powers, as torch writes it"]), "epsilon", target="weights", relevance_at=["d"]
        )


def test_a_value_inside_that_is_used_elsewhere_too():
    """What the deviation gives elsewhere comes back by itself."""
    written = f"{SQUARE} {ROOT} n = Div (d, r) a = Mul (n, gamma) c = Add (a, beta) b = Add (c, d)"
    fused = f"{D} c = LayerNormalization <axis: int = -1, epsilon: float = 1e-5> (h, gamma, beta) b = Add (c, d)"
    same(written, fused, "attn_lrp")


def test_inside_a_branch():
    def branch(body: str) -> str:
        return (
            "z = ReduceSum (x) zero = Sub (z, z) yes = LessOrEqual (zero, eps) b = If (yes) <then_branch: graph = "
            f"taken () => (double[N, 3, 4] b1) {{ {body.replace('b = ', 'b1 = ')} }}, else_branch: graph = other () "
            "=> (double[N, 3, 4] b2) { b2 = Neg (h) }>"
        )

    bodies = [branch(body) for body in (LAYER_NORMS["powers, as torch writes it"], LAYER_NORM)]
    (step,) = [s for s in onnxlrp.inspect(model(bodies[0]), "attn_lrp").steps if s.operator == "If"]
    assert [s.operator for s in step.inner if "layer norm" in s.why] == ["LayerNormalization"]
    same(bodies[0], bodies[1], "attn_lrp")


def test_in_float32_inside_a_model_of_halves():
    """As torch's exporter writes it for halves: the deviation, and what follows up to the scale, in float32."""
    body = f"{D} w = Cast <to: int = 1> (d) q = Mul (w, w) v = ReduceMean (q, last) s = Add (v, wide) r = Sqrt (s) "
    body += f"p = Div (w, r) n = Cast <to: int = 10> (p) {TAIL}"
    proto = model(body, dtype="float16")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(1e-5), "wide"))
    assert norms(proto) == [("LayerNormalization", "layer norm")]
    x = np.random.default_rng(1).normal(size=(2, 3, 4)).astype(np.float16)
    explained, fused = (
        onnxlrp.convert(p, "attn_lrp", target="weights").to_proto() for p in (proto, model(LAYER_NORM, dtype="float16"))
    )
    ours, theirs = (onnxruntime(p)({"x": x})["x_relevance"] for p in (explained, fused))
    assert np.linalg.norm(ours - theirs) < 2e-2 * np.linalg.norm(theirs)


# ---------------------------------------------------------------------------------------- instance and group norm


def spatial(axes: str, tail: str) -> str:
    return (
        f"m = ReduceMean (h, {axes}) d = Sub (h, m) q = Mul (d, d) v = ReduceMean (q, {axes}) s = Add (v, eps) "
        f"r = Sqrt (s) n = Div (d, r) {tail}"
    )


def test_instance_norm():
    written = spatial("both", "a = Mul (n, column) b = Add (a, shift)")
    fused = "flat = Constant <value: tensor = int64[1] {-1}> () g = Reshape (column, flat) k = Reshape (shift, flat) "
    fused += "b = InstanceNormalization <epsilon: float = 1e-5> (h, g, k)"
    assert norms(model(written, "N, 3, 5, 4")) == [("LayerNormalization", "instance norm")]
    same(written, fused, "attn_lrp", (2, 3, 5, 4))


GROUPED = """apart = Constant <value: tensor = int64[3] {0, 2, -1}> ()
    ones = Constant <value: tensor = double[2] {1, 1}> () zeros = Constant <value: tensor = double[2] {0, 0}> ()
    p = Reshape (h, apart) i = InstanceNormalization <epsilon: float = 1e-5> (p, ones, zeros) z = Shape (h)
    n = Reshape (i, z) """
GROUP_NORM = "b = GroupNormalization <num_groups: int = 2, epsilon: float = 1e-5> (h, {}, {})"


@pytest.mark.parametrize("composite", ["epsilon", "attn_lrp", "cp_lrp"])
def test_group_norm_as_torch_writes_it(composite):
    written = f"{GROUPED} a = Mul (n, six) b = Add (a, seven)"
    assert norms(model(written, "N, 6, 5, 4"), composite) == [("GroupNormalization", "group norm")]
    same(written, GROUP_NORM.format("per_six", "per_seven"), composite, (2, 6, 5, 4))


def test_group_norm_without_parameters():
    same(f"{GROUPED} b = Add (n, zero)".replace("zeros =", "zero = Sub (one, one) zeros ="),
         "ones = Div (per_six, per_six) zeros = Sub (per_six, per_six) " + GROUP_NORM.format("ones", "zeros"),
         "attn_lrp", (2, 6, 5, 4))  # fmt: skip


def test_group_norm_over_channels_last():
    """As Keras writes it: groups apart on axes of their own, the mean over all others but the batch."""
    apart = "apart = Constant <value: tensor = int64[4] {0, 5, 2, 2}> () p = Reshape (h, apart)"
    axes = "axes = Constant <value: tensor = int64[2] {1, 3}> ()"
    body = f"{apart} {axes} m = ReduceMean (p, axes) d = Sub (p, m) q = Mul (d, d) v = ReduceMean (q, axes) "
    body += "s = Add (v, eps) r = Sqrt (s) n = Div (d, r) back = Shape (h) b = Reshape (n, back)"
    turned = "t = Transpose <perm: list = [0, 2, 1]> (h)".replace("list", "ints")
    fused = f"{turned} ones = Div (gamma, gamma) zeros = Sub (gamma, gamma) "
    fused += GROUP_NORM.format("ones", "zeros").replace("(h,", "(t,").replace("b =", "g =")
    fused += " b = Transpose <perm: ints = [0, 2, 1]> (g)"
    assert norms(model(body, "N, 5, 4")) == [("LayerNormalization", "group norm")]
    same(body, fused, "attn_lrp", (2, 5, 4))


def test_an_instance_norm_with_a_scale_of_its_own_is_no_group_norm():
    body = f"{GROUPED} b = Mul (n, six)".replace("{1, 1}", "{1, 2}")
    assert not norms(model(body, "N, 6, 5, 4"))


# ---------------------------------------------------------------------------------------- RMS and L2 norm

Q = "q = Mul (h, h)"
RMS_NORMS = {
    "as torch writes it": f"q = Pow (h, two) {ROOT} i = Reciprocal (r) n = Mul (h, i) b = Mul (n, gamma)",
    "the scale first": f"q = Pow (h, two) {ROOT} i = Div (one, r) n = Mul (h, i) b = Mul (gamma, n)",
    "divided": f"{Q} {ROOT} n = Div (h, r) b = Mul (gamma, n)",
    "times a power": f"{Q} {V} i = Pow (s, minus) n = Mul (i, h) b = Mul (n, gamma)",
    "one plus the scale": f"{Q} {ROOT} i = Reciprocal (r) n = Mul (h, i) g = Add (one, gamma) b = Mul (n, g)",
    "as Keras writes it": f"{Q} {ROOT} i = Reciprocal (r) g = Mul (i, gamma) b = Mul (h, g)",
    "without a scale": f"{Q} {ROOT} i = Reciprocal (r) b = Mul (h, i)",
}
L2_NORMS = {
    "F.normalize": "l = ReduceL2 (h, last) c = Clip (l, eps) z = Shape (h) e = Expand (c, z) b = Div (h, e)",
    "bare": "l = ReduceL2 (h, last) b = Div (h, l)",
    "summed": f"{Q} s = ReduceSum (q, last) r = Sqrt (s) b = Div (h, r)",
    "a sum of squares": "s = ReduceSumSquare (h, last) r = Sqrt (s) m = Max (r, eps) b = Div (h, m)",
    "summed, a root as a power": "q = Pow (h, two) s = ReduceSum (q, last) r = Pow (s, half) b = Div (h, r)",
    "as tf.math writes it": f"{Q} s = ReduceSum (q, last) m = Max (s, eps) r = Sqrt (m) i = Reciprocal (r) "
    "b = Mul (h, i)",
    "as Keras writes it": f"{Q} s = ReduceSum (q, last) r = Sqrt (s) i = Reciprocal (r) m = Min (i, large) "
    "b = Mul (h, m)",
    "one operator": "b = LpNormalization <axis: int = -1> (h)",
}


def inside(body: str, composite: str) -> tuple[np.ndarray, np.ndarray]:
    """The relevance at the input and at the output of a norm."""
    explained = onnxlrp.convert(model(body), composite, target="weights", relevance_at=["h", "b"])
    found = reference(explained.to_proto())({"x": np.random.default_rng(1).normal(size=(2, 3, 4))})
    at = explained.interface.relevance_at
    return found[at["h"]], found[at["b"]]


@pytest.mark.parametrize("composite", ["epsilon", "attn_lrp", "cp_lrp", "epsilon_plus_flat", "excitation_backprop"])
@pytest.mark.parametrize("name", [*RMS_NORMS, *L2_NORMS])
def test_relevance_passes_through_norms_without_a_mean(name, composite):
    body = {**L2_NORMS, **RMS_NORMS}[name]
    before, behind = inside(body, composite)
    np.testing.assert_array_equal(before, behind)
    assert np.abs(before).max() > 0


@pytest.mark.parametrize("norms_of", [RMS_NORMS, L2_NORMS], ids=["RMS", "L2"])
def test_norms_without_a_mean_are_one_step(norms_of):
    for name, body in norms_of.items():
        plan = onnxlrp.inspect(model(body), "epsilon")
        assert len(plan.steps) == 3, f"{name}\n{plan}"
        if name != "one operator":
            expected = ("RMSNormalization", "RMS norm") if norms_of is RMS_NORMS else ("LpNormalization", "L2 norm")
            assert norms(model(body)) == [expected], name


def test_a_norm_of_halves_in_float32():
    """As Llama's: in float32 from a Cast to a Cast, the scale in halves."""
    body = "w = Cast <to: int = 1> (h) q = Mul (w, w) v = ReduceMean (q, last) s = Add (v, wide) r = Sqrt (s) "
    body += "i = Reciprocal (r) p = Mul (w, i) n = Cast <to: int = 10> (p) b = Mul (gamma, n)"
    proto = model(body, dtype="float16")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(1e-6), "wide"))
    assert norms(proto) == [("RMSNormalization", "RMS norm")]


NO_RMS_NORMS = {
    "a cube": "k = Add (one, two) q = Pow (h, k) " + f"{ROOT} b = Div (h, r)",
    "of something else": f"t = Tanh (h) q = Mul (t, t) {ROOT} b = Div (h, r)",
    "a negative ε": f"{Q} v = ReduceMean (q, last) s = Add (v, below) r = Sqrt (s) b = Div (h, r)",
    "multiplied": f"{Q} {ROOT} b = Mul (h, r)",
}


@pytest.mark.parametrize("body", NO_RMS_NORMS.values(), ids=NO_RMS_NORMS)
def test_what_only_looks_like_an_rms_norm(body):
    assert not norms(model(body))


@pytest.mark.parametrize("name", ["a cube", "of something else"])
def test_what_divides_is_constant_all_the_same(name):
    """The numerator takes all, whatever the denominator is made of."""
    before, behind = inside(NO_RMS_NORMS[name], "attn_lrp")
    np.testing.assert_allclose(before, behind, rtol=1e-9, atol=1e-12)
