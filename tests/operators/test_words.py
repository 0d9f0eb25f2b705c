"""Counts of words: every occurrence against a search by hand, in ids and in words, and texts that are cut first."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from tests.operators.case import onnxruntime

Array = np.ndarray
WORDS = ["ash", "bay", "cob", "dew", "elm", "fen"]
GRAMS = {1: [(0,), (2,), (3,)], 2: [(0, 1), (2, 2), (3, 0)], 3: [(0, 1, 2), (2, 2, 2), (4, 0, 3)]}
"""Of the ids 0 to 5; the last two are in no n-gram of one word."""
WEIGHT = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)


def vectorizer(mode: str, shortest: int, longest: int, skips: int, strings: bool) -> dict:
    """Attributes; the columns are in another order than the n-grams."""
    pool = [i for n in sorted(GRAMS) for gram in GRAMS[n] for i in gram]
    counts = [0, 3, 9]
    words = {"pool_strings": [WORDS[i] for i in pool]} if strings else {"pool_int64s": pool}
    return {
        "mode": mode,
        "min_gram_length": shortest,
        "max_gram_length": longest,
        "max_skip_count": skips,
        "ngram_counts": counts,
        "ngram_indexes": [(5 * i) % 9 for i in range(9)],
        "weights": [0.5 + 0.1 * i for i in range(9)],
        **words,
    }


def model(shape: list, strings: bool, attributes: dict) -> onnx.ModelProto:
    nodes = [helper.make_node("TfIdfVectorizer", ["x"], ["counts"], **attributes)]
    nodes += [
        helper.make_node("Reshape", ["counts", "rows"], ["wide"]),
        helper.make_node("MatMul", ["wide", "w"], ["y"]),
    ]
    kind = TensorProto.STRING if strings else TensorProto.INT64
    given = [helper.make_tensor_value_info("x", kind, shape)]
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])]
    constants = [numpy_helper.from_array(WEIGHT, "w"), numpy_helper.from_array(np.array([-1, 9]), "rows")]
    graph = helper.make_graph(nodes, "words", given, made, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def by_hand(ids: Array, attributes: dict, target: int) -> Array:
    """LRP-0 of one row of ids: counts times weights, shared out over all that was counted."""
    found = defaultdict(list)
    grams = [(n, gram) for n in sorted(GRAMS) for gram in GRAMS[n]]
    shortest, longest = attributes["min_gram_length"], attributes["max_gram_length"]
    for column, (n, gram) in zip(attributes["ngram_indexes"], grams, strict=True):
        for step in range(1, 2 + (attributes["max_skip_count"] if n > 1 else 0)):
            for start in range(len(ids) - (n - 1) * step):
                places = [start + i * step for i in range(n)]
                if shortest <= n <= longest and tuple(ids[places]) == gram:
                    found[column].append(places)
    relevance = np.zeros(len(ids))
    order = {column: i for i, column in enumerate(attributes["ngram_indexes"])}
    for column, places in found.items():
        weight, count = attributes["weights"][order[column]], len(places)
        value = {"TF": count, "IDF": weight, "TFIDF": weight * count}[attributes["mode"]]
        for one in places:
            relevance[one] += value * WEIGHT[column, target] / count / len(one)
    return relevance


@pytest.mark.parametrize("mode", ["TF", "IDF", "TFIDF"])
@pytest.mark.parametrize("lengths", [(1, 1, 0), (1, 2, 0), (2, 3, 2), (1, 3, 1)], ids=str)
@pytest.mark.parametrize("strings", [False, True])
def test_every_occurrence(mode, lengths, strings):
    attributes = vectorizer(mode, *lengths, strings)
    ids = np.random.default_rng(1).choice(5, size=(6, 9), p=[0.3, 0.15, 0.3, 0.15, 0.1])
    x = np.array(WORDS, object)[ids] if strings else ids
    explained = onnxlrp.convert(model(["N", "T"], strings, attributes), "lrp0", ledger=True).to_proto()
    for batch, rows in ((x, ids), (x[:, :2], ids[:, :2])):  # the last is shorter than three words
        found = onnxruntime(explained)({"x": batch, "target": np.array([1])})
        expected = [by_hand(row, attributes, 1) for row in rows]
        np.testing.assert_allclose(found["x_relevance"], expected, rtol=1e-4, atol=1e-5)
        table = found["relevance_ledger"]
        np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=1e-4)


def test_one_text_without_a_batch():
    attributes = vectorizer("TFIDF", 1, 2, 0, False)
    ids = np.array([0, 1, 2, 2, 3])
    found = onnxruntime(onnxlrp.convert(model(["T"], False, attributes), "lrp0").to_proto())({"x": ids, "target": [2]})
    np.testing.assert_allclose(found["x_relevance"], by_hand(ids, attributes, 2), rtol=1e-4, atol=1e-5)


def test_gradients_are_zero():
    explained = onnxlrp.convert(model(["N", "T"], False, vectorizer("TF", 1, 2, 0, False)), "gradient")
    assert any("gradients are 0" in note for note in explained.plan.notes)
    found = onnxruntime(explained.to_proto())({"x": np.array([[0, 1, 2]])})
    np.testing.assert_array_equal(found["x_relevance"], np.zeros((1, 3)))


def text_model(**normalizer) -> onnx.ModelProto:
    """A column of texts, cut into words as skl2onnx does, beside one of numbers."""
    attributes = vectorizer("TF", 1, 2, 0, True)
    nodes = [
        helper.make_node("Reshape", ["text", "one_axis"], ["flat"]),
        helper.make_node("StringNormalizer", ["flat"], ["plain"], "plain", locale="C", **normalizer),
        helper.make_node(
            "Tokenizer",
            ["plain"],
            ["words"],
            domain="com.microsoft",
            mark=0,
            mincharnum=1,
            pad_value="#",
            tokenexp="[a-z]+",
        ),
        helper.make_node("Flatten", ["words"], ["table"]),
        helper.make_node("TfIdfVectorizer", ["table"], ["counts"], **attributes),
        helper.make_node("Concat", ["counts", "number"], ["features"], axis=1),
        helper.make_node("MatMul", ["features", "w"], ["y"]),
    ]
    given = [
        helper.make_tensor_value_info("text", TensorProto.STRING, ["N", 1]),
        helper.make_tensor_value_info("number", TensorProto.FLOAT, ["N", 1]),
    ]
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])]
    weight = np.concatenate([WEIGHT, [[0.5, -1, 2]]]).astype(np.float32)
    constants = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(np.array([-1]), "one_axis")]
    graph = helper.make_graph(nodes, "texts", given, made, constants)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


TEXTS = np.array([["Ash bay, ash!"], ["cob"], ["nothing known"]], object)
FEEDS = {"text": TEXTS, "number": np.array([[1], [-2], [0.5]], np.float32), "target": np.array([1])}


def test_a_column_of_texts():
    """Each gets the sum of its words' relevance, which is there too where it is asked for."""
    source = text_model(case_change_action="LOWER")
    found = onnxruntime(onnxlrp.convert(source, "lrp0", relevance_at=["words"]).to_proto())(FEEDS)
    np.testing.assert_allclose(found["number_relevance"], -FEEDS["number"])
    attributes = vectorizer("TF", 1, 2, 0, True)
    ids = np.array([[0, 1, 0], [2, 5, 5], [5, 5, 5]])
    expected = np.array([by_hand(row, attributes, 1) for row in ids])
    np.testing.assert_allclose(found["words_relevance"].reshape(3, 3), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["text_relevance"][:, 0], expected.sum(1), rtol=1e-4, atol=1e-6)


def test_words_that_are_left_out_end_relevance():
    """Which of the others are which is not known: the plan says so, and the numbers keep their share."""
    explained = onnxlrp.convert(text_model(case_change_action="LOWER", stopwords=["cob"]), "lrp0")
    assert any("'text': StringNormalizer 'plain'" in note for note in explained.plan.notes)
    assert list(explained.interface.relevance) == ["number"]
