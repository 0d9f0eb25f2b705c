"""Gradient composites beside inputs that are no floats: numbers get theirs, ids their embedding's, words none."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxlrp
from onnxlrp.errors import InputError, NothingToExplainError

Array = np.ndarray
GRADIENTS = ["gradient", "gradient_x_input", "guided_backprop", "deconvnet", "beta_smooth"]
RNG = np.random.default_rng(3)
A = RNG.normal(size=(3, 2)).astype(np.float32)
W = RNG.normal(size=(4, 2)).astype(np.float32)
TABLE = RNG.normal(size=(6, 2)).astype(np.float32)
WORDS = np.array([["red"], ["blue"], ["green"]], object)


def build(text: str, **weights: Array) -> onnx.ModelProto:
    model = onnx.parser.parse_model('<ir_version: 10, opset_import: ["": 21, "ai.onnx.ml": 3]>' + text)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(v, k) for k, v in weights.items())
    return model


ENCODED = {
    "OneHotEncoder": """one = ai.onnx.ml.OneHotEncoder <cats_strings = ["red", "blue"]> (words)
        axes = Constant <value_ints = [1]> () hot = Squeeze (one, axes)""",
    "LabelEncoder": """both = Concat <axis = 1> (words, words)
        hot = ai.onnx.ml.LabelEncoder <keys_strings = ["red", "blue"], values_floats = [0.5, 1.5]> (both)""",
    "TfIdfVectorizer": """hot = TfIdfVectorizer <
        max_gram_length = 1, max_skip_count = 0, min_gram_length = 1, mode = "TF",
        ngram_counts = [0], ngram_indexes = [0, 1], pool_strings = ["red", "blue"]> (words)""",
}


@pytest.mark.parametrize("composite", GRADIENTS)
@pytest.mark.parametrize("how", ENCODED)
def test_words_beside_numbers(how, composite):
    """Relevance of the numbers, none of the words; the plan says so."""
    text = """g (string[N, 1] words, float[N, 2] a) => (float[N, 2] y)
        { ENCODED z = Concat <axis = 1> (a, hot) y = MatMul (z, w) }"""
    explained = onnxlrp.convert(build(text.replace("ENCODED", ENCODED[how]), w=W), composite)
    found = onnxlrp.Explainer(explained)({"words": WORDS, "a": A}, target=1)
    assert list(found.relevance) == ["a"]
    expected = A * W[:2, 1] if composite == "gradient_x_input" else np.broadcast_to(W[:2, 1], A.shape)
    np.testing.assert_allclose(found.relevance["a"], expected, rtol=1e-5)
    assert any("'words'" in note and "no gradient" in note for note in explained.notes)


@pytest.mark.parametrize("composite", GRADIENTS)
def test_words_alone(composite):
    """Nothing would be left to explain: refused, as are words that are asked for."""
    text = "g (string[N, 1] words) => (float[N, 2] y) { ENCODED y = MatMul (hot, w) }"
    model = build(text.replace("ENCODED", ENCODED["OneHotEncoder"]), w=TABLE[:2])
    for options in ({}, {"inputs": ["words"]}):
        with pytest.raises(NothingToExplainError, match="no gradient"):
            onnxlrp.convert(model, composite, **options)


@pytest.mark.parametrize("composite", ["gradient", "gradient_x_input"])
def test_words_that_are_numbers(composite):
    """A column of numbers that is written as text has a gradient."""
    text = "g (string[N, 2] words) => (float[N, 2] y) { c = Cast <to = 1> (words) y = MatMul (c, w) }"
    words = np.array([["1.5", "2"], ["-3", "0"]], object)
    found = onnxlrp.Explainer(onnxlrp.convert(build(text, w=W[:2]), composite))({"words": words}, target=0)
    factor = words.astype(np.float32) if composite == "gradient_x_input" else np.ones((2, 2))
    np.testing.assert_allclose(found.relevance["words"], factor * W[:2, 0], rtol=1e-5)


LOOKUP = "e = Gather (table, ids) axes = Constant <value_ints = [1]> () s = ReduceSum <keepdims = 0> (e, axes)"
IDS = np.array([[0, 5, 2], [3, 3, 1]])


def test_ids_are_multiplied_with_nothing():
    """Gradient × input of an id is that of the embedding it looks up, summed; the id is no amount."""
    text = "g (int64[N, 3] ids) => (float[N, 2] y) { LOOKUP y = MatMul (s, w) }"
    model = build(text.replace("LOOKUP", LOOKUP), w=W[:2], table=TABLE)
    found = onnxlrp.Explainer(onnxlrp.convert(model, "gradient_x_input"))({"ids": IDS}, target=0)
    np.testing.assert_allclose(found.relevance["ids"], (TABLE @ W[:2, 0])[IDS], rtol=1e-5)
    np.testing.assert_allclose(found.relevance["ids"].sum(1), found.score, rtol=1e-5)


def test_ids_and_numbers_in_one_table():
    """Columns of floats that hold ids beside columns that hold numbers: each by its own rule."""
    text = """g (float[N, 5] x) => (float[N, 2] y) {
        sizes = Constant <value_ints = [3, 2]> ()
        f, a = Split <axis = 1> (x, sizes)
        ids = Cast <to = 7> (f) LOOKUP
        z = Concat <axis = 1> (a, s) y = MatMul (z, w)
    }"""
    x = np.concatenate([IDS, A[:2]], axis=1).astype(np.float32)
    model = build(text.replace("LOOKUP", LOOKUP), w=W, table=TABLE)
    found = onnxlrp.Explainer(onnxlrp.convert(model, "gradient_x_input"))({"x": x}, target=0)
    expected = np.concatenate([(TABLE @ W[2:, 0])[IDS], A[:2] * W[:2, 0]], axis=1)
    np.testing.assert_allclose(found.relevance["x"], expected, rtol=1e-5)


def test_lookups_in_a_branch_are_refused():
    """A product inside a body would have to come out on its own: the message says what to take."""
    text = """g (int64[N, 3] ids, bool flag) => (float[N, 2] y) {
        axes = Constant <value_ints = [1]> ()
        s = If (flag) <
            then_branch = t () => (float[N, 2] p) { e = Gather (table, ids) p = ReduceSum <keepdims = 0> (e, axes) },
            else_branch = o () => (float[N, 2] q) { f = Gather (table, ids) q = ReduceMax <keepdims = 0> (f, axes) }>
        y = MatMul (s, w) }"""
    model = build(text, w=W[:2], table=TABLE)
    with pytest.raises(InputError, match="embedding"):
        onnxlrp.convert(model, "gradient_x_input")
    feeds = {"ids": IDS, "flag": np.array(True)}
    found = onnxlrp.Explainer(onnxlrp.convert(model, "gradient"))(feeds, target=0)
    np.testing.assert_allclose(found.relevance["ids"], np.broadcast_to(W[:2, 0].sum(), IDS.shape), rtol=1e-5)


@pytest.mark.parametrize("composite", GRADIENTS)
@pytest.mark.parametrize("kind", ["uint8", "int64", "int32"])
def test_whole_numbers(kind, composite):
    """Counts, pixels and truth values are amounts: their gradient is a float, their product is with their value."""
    text = """g (KIND[N, 2] x, bool[N, 1] flag) => (float[N, 2] y) {
        c = Cast <to = 1> (x) f = Cast <to = 1> (flag) z = Concat <axis = 1> (c, f) y = MatMul (z, w) }"""
    x = np.array([[1, 2], [3, 0]], kind)
    explained = onnxlrp.convert(build(text.replace("KIND", kind), w=W[:3]), composite)
    feeds = {"x": x, "flag": np.array([[True], [False]])}
    found = onnxlrp.Explainer(explained)(feeds, target=0)
    assert list(found.relevance) == ["x", "flag"]
    for name, weights in (("x", W[:2, 0]), ("flag", W[2:3, 0])):
        factor = feeds[name] if composite == "gradient_x_input" else np.ones(feeds[name].shape)
        assert found.relevance[name].dtype == np.float32
        np.testing.assert_allclose(found.relevance[name], factor * weights, rtol=1e-5)
