"""Several inputs, several outputs, mixed types: what can carry relevance does, the rest is untouched."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxlrp
from onnxlrp.errors import InputError

RNG = np.random.default_rng(4)
W, V = RNG.normal(size=(3, 2)).astype(np.float32), RNG.normal(size=(4, 2)).astype(np.float32)
A, B = RNG.normal(size=(5, 3)).astype(np.float32), RNG.normal(size=(5, 4)).astype(np.float32)


def build(text: str, **weights: np.ndarray) -> onnx.ModelProto:
    model = onnx.parser.parse_model('<ir_version: 10, opset_import: ["": 21, "ai.onnx.ml": 3]>' + text)
    for name, value in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    onnx.checker.check_model(model)
    return model


def explain(model: onnx.ModelProto, feeds: dict, **options) -> onnxlrp.Explanation:
    """Explained with LRP-0; the model's own outputs must be what they were."""
    source = onnx.ModelProto()
    source.CopyFrom(model)
    found = onnxlrp.Explainer(onnxlrp.convert(model, "lrp0", **options))(feeds)
    import onnxruntime

    session = onnxruntime.InferenceSession(source.SerializeToString(), providers=["CPUExecutionProvider"])
    for output, value in zip(session.get_outputs(), session.run(None, feeds), strict=True):
        np.testing.assert_array_equal(found.outputs[output.name], value)
    return found


def test_two_inputs_share_the_score():
    """Each gets its own part; what is asked for alone is the same."""
    text = "g (float[N, 3] a, float[N, 4] b) => (float[N, 2] y) { p = MatMul (a, w) q = MatMul (b, v) y = Add (p, q) }"
    found = explain(build(text, w=W, v=V), {"a": A, "b": B}, output="y")
    rows = found.target
    np.testing.assert_allclose(found.relevance["a"], A * W.T[rows], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.relevance["b"], B * V.T[rows], rtol=1e-5, atol=1e-6)
    alone = explain(build(text, w=W, v=V), {"a": A, "b": B}, inputs=["b"])
    assert list(alone.relevance) == ["b"]
    np.testing.assert_array_equal(alone.relevance["b"], found.relevance["b"])


MIXED = """g (float[N, 3] a, string[N, 1] colour, int64[N, 1] count, bool[N, 1] flag, double[N, 3] d) => (float[N, 2] y)
{
  one = ai.onnx.ml.OneHotEncoder <cats_strings = ["red", "blue"]> (colour)
  axes = Constant <value_ints = [1]> ()
  hot = Squeeze (one, axes)
  n = Cast <to = 1> (count)
  f = Cast <to = 1> (flag)
  e = Cast <to = 1> (d)
  s = Add (a, e)
  all = Concat <axis = 1> (s, hot, n, f)
  y = MatMul (all, u)
}"""
COLOURS = np.array([["red"], ["blue"], ["green"], ["red"], ["blue"]], object)


def test_strings_numbers_and_flags():
    """A column of words gets its one-hot columns' relevance, whole numbers and flags theirs, doubles in double."""
    u = RNG.normal(size=(7, 2)).astype(np.float32)
    counts, flags = np.arange(5)[:, None], np.array([[True], [False], [True], [True], [False]])
    feeds = {"a": A, "colour": COLOURS, "count": counts, "flag": flags, "d": A[::-1].astype(np.float64)}
    found = explain(build(MIXED, u=u), feeds)
    weight = u.T[found.target]
    expected = {
        "a": A * weight[:, :3],
        "d": feeds["d"] * weight[:, :3],
        "colour": ((COLOURS == "red") * weight[:, 3:4] + (COLOURS == "blue") * weight[:, 4:5]),
        "count": counts * weight[:, 5:6],
        "flag": flags * weight[:, 6:],
    }
    for name, relevance in found.relevance.items():
        np.testing.assert_allclose(relevance, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)
        assert relevance.dtype.kind == "f" and relevance.shape == np.shape(feeds[name])
    assert {*found.relevance} >= {"a", "d", "colour"}
    total = sum(relevance.sum(1) for relevance in found.relevance.values())
    missing = sum(expected[name].sum(1) for name in expected if name not in found.relevance)
    np.testing.assert_allclose(total + missing, found.score, rtol=1e-4, atol=1e-5)


def test_what_only_steers_carries_nothing():
    """A mask, a length and a condition choose; the relevance is all the data's."""
    text = """g (float[N, 3] a, bool[N, 3] keep, int64[2] shape, bool flag) => (float[N, 2] y)
    {
      zero = Constant <value_float = 0.0> ()
      kept = Where (keep, a, zero)
      same = Reshape (kept, shape)
      m = If (flag) <then_branch = t () => (yes) { yes = Identity (same) },
                     else_branch = e () => (no) { no = Neg (same) }>
      y = MatMul (m, w)
    }"""
    keep = RNG.random((5, 3)) > 0.4
    feeds = {"a": A, "keep": keep, "shape": np.array([-1, 3]), "flag": np.array(False)}
    found = explain(build(text, w=W), feeds)
    assert list(found.relevance) == ["a"]
    np.testing.assert_allclose(found.relevance["a"], -A * keep * W.T[found.target], rtol=1e-5, atol=1e-6)


def test_lists_and_optional_values():
    """A list of tensors as input is no tensor that could be explained; what stands beside it is."""
    text = """g (float[N, 3] a, seq(float[N, 3]) others, optional(float[N, 3]) more) => (float[N, 2] y, bool there)
    {
      zero = Constant <value_int = 0> ()
      first = SequenceAt (others, zero)
      there = OptionalHasElement (more)
      s = Add (a, first)
      y = MatMul (s, w)
    }"""
    model = build(text, w=W)
    explained = onnxlrp.convert(model, "lrp0", inputs=["a"])
    found = onnxlrp.Explainer(explained)({"a": A, "others": [A[::-1].copy()], "more": A})
    np.testing.assert_allclose(found.relevance["a"], A * W.T[found.target], rtol=1e-5, atol=1e-6)
    assert bool(found.outputs["there"])


def test_several_outputs():
    """The first float one by default, and the plan says so; any other by name; one that is no score is refused."""
    text = """g (float[N, 3] a) => (int64[N] best, float[N, 2] y, float[N, 4] z)
    { y = MatMul (a, w) best = ArgMax <axis = 1, keepdims = 0> (y) z = MatMul (y, t) }"""
    t = RNG.normal(size=(2, 4)).astype(np.float32)
    model = build(text, w=W, t=t)
    np.testing.assert_allclose(
        (found := explain(model, {"a": A})).relevance["a"], A * W.T[found.target], rtol=1e-4, atol=1e-5
    )
    assert any("'y'" in note or " y" in note for note in onnxlrp.convert(model).notes)
    other = explain(model, {"a": A}, output="z")
    np.testing.assert_allclose(other.relevance["a"].sum(1), other.score, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(other.relevance["a"], A * (W @ t).T[other.target], rtol=1e-3, atol=1e-4)
    with pytest.raises((InputError, onnxlrp.errors.OnnxLrpError), match="best"):
        onnxlrp.convert(model, output="best")
    with pytest.raises(onnxlrp.errors.OnnxLrpError, match="nonsense"):
        onnxlrp.convert(model, output="nonsense")


def test_an_input_that_is_used_twice_and_one_that_is_not():
    """Shares add up; an input that leads to no explained output gets none, and is untouched."""
    text = """g (float[N, 3] a, float[N, 2] idle) => (float[N, 2] y, float[N, 2] copy)
    { p = MatMul (a, w) q = Relu (a) r = MatMul (q, w) y = Add (p, r) copy = Identity (idle) }"""
    found = explain(build(text, w=W), {"a": A, "idle": B[:, :2].copy()}, output="y")
    assert list(found.relevance) == ["a"]
    np.testing.assert_allclose(found.relevance["a"], (A + np.maximum(A, 0)) * W.T[found.target], rtol=1e-4, atol=1e-5)
