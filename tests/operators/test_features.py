"""What prepares features: scaled, filled in, encoded, taken out of maps; relevance per original column."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnxlrp
from onnxlrp.errors import InvalidModelError, NothingToExplainError
from tests.operators.case import onnxruntime
from tests.operators.classical_case import explain, normal
from tests.operators.draws.classical import model, node, single

Array = np.ndarray
FLOAT, DOUBLE, INT, STRING = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.STRING


def prepared(nodes, x: Array, columns: int, seed: int = 20, inputs=None, **options) -> tuple[dict[str, Array], Array]:
    """A linear model behind nodes that make `h` of `x`: the outputs, and what arrives at h."""
    w = normal(seed, 1, columns)
    kind = helper.np_dtype_to_tensor_dtype(x.dtype) if x.dtype != object else STRING
    inputs = inputs or {"x": (kind, ["N", *x.shape[1:]])}
    last = node("LinearRegressor", ["h"], ["y"], coefficients=w.ravel().tolist(), targets=1)
    source = model([*nodes, last], inputs, {"y": FLOAT}, **options)
    with_h = onnx.ModelProto.FromString(source.SerializeToString())
    with_h.graph.output.append(helper.make_tensor_value_info("h", FLOAT, None))
    h = onnxruntime(with_h)({"x": x})["h"]
    return explain(source, x, composite="lrp0"), h * w


def test_scaler():
    x = normal(21, 5, 3)
    nodes = [node("Scaler", ["x"], ["h"], offset=[0.5, -1.0, 0.0], scale=[2.0, 0.5, -1.0])]
    found, arrived = prepared(nodes, x, 3)
    np.testing.assert_allclose(found["x_relevance"], arrived, atol=1e-5)
    for kind in (np.int64, np.int32, np.float64):
        found, arrived = prepared(nodes, np.arange(6).reshape(2, 3).astype(kind), 3)
        np.testing.assert_allclose(found["x_relevance"], arrived, atol=1e-5)
    found, arrived = prepared([node("Scaler", ["x"], ["h"], offset=[0.5], scale=[3.0])], x, 3)
    np.testing.assert_allclose(found["x_relevance"], arrived, atol=1e-5)


@pytest.mark.parametrize("norm", ["L1", "L2", "MAX"])
def test_normalizer(norm):
    """The norm is constant; the gradient is not, and a row of zeros stays one."""
    x = normal(22, 5, 3)
    x[1] = 0
    nodes = [node("Normalizer", ["x"], ["h"], norm=norm)]
    found, arrived = prepared(nodes, x, 3)
    np.testing.assert_allclose(found["x_relevance"], arrived, atol=1e-5)
    source = single("Normalizer", 3, norm=norm)
    weights = normal(23, 5, 3)
    x[1] = normal(24, 3)
    run = onnxruntime(source)
    slopes = explain(source, x, weights, composite="gradient")["x_relevance"]
    for f in range(3):
        moved = np.eye(3, dtype=np.float32)[f] * 1e-2
        difference = (run({"x": x + moved})["y"] - run({"x": x - moved})["y"]) / 2e-2
        np.testing.assert_allclose(slopes[:, f], (difference * weights).sum(1), atol=2e-2)


@pytest.mark.parametrize("replaced", [float("nan"), -9.0])
def test_imputer(replaced):
    """What is missing is explained as what stands in for it, in its own column."""
    x = normal(25, 5, 3)
    x[1, 0] = x[3, 2] = replaced
    nodes = [node("Imputer", ["x"], ["h"], imputed_value_floats=[0.5, 1.0, 2.0], replaced_value_float=replaced)]
    found, arrived = prepared(nodes, x, 3)
    np.testing.assert_allclose(found["x_relevance"], arrived, atol=1e-5)
    assert arrived[1, 0] and arrived[3, 2]
    source = single("Imputer", 3, imputed_value_floats=[0.5], replaced_value_float=replaced)
    slopes = explain(source, x, np.ones((5, 3)), composite="gradient")["x_relevance"]
    missing = np.isnan(x) if np.isnan(replaced) else x == replaced
    np.testing.assert_array_equal(slopes, np.where(missing, 0, 1))


def test_filled_in_rows_keep_their_signs_when_they_are_normalised():
    """A session that knew their shapes would normalise them in place, and lose the signs."""
    x = normal(26, 5, 3)
    x[1, 0] = np.nan
    filled = node("Imputer", ["x"], ["filled"], imputed_value_floats=[0.5], replaced_value_float=float("nan"))
    found, arrived = prepared([filled, node("Normalizer", ["filled"], ["h"], norm="L2")], x, 3)
    np.testing.assert_allclose(found["y"][:, 0], arrived.sum(1), atol=1e-6)
    np.testing.assert_allclose(found["x_relevance"], arrived, atol=1e-5)


@pytest.mark.parametrize("composite", ["epsilon", "gradient"])
def test_activations_that_are_written_out_begin_after_missing_values_are_filled_in(composite):
    """A function of x in several nodes, as power transforms are: its argument is a number everywhere."""
    x = normal(27, 5, 3)
    x[1, 0] = np.nan
    nodes = [
        node("Imputer", ["x"], ["filled"], imputed_value_floats=[0.5], replaced_value_float=float("nan")),
        helper.make_node("Softplus", ["filled"], ["gate"]),
        helper.make_node("Mul", ["filled", "gate"], ["h"]),
        node("LinearRegressor", ["h"], ["y"], coefficients=[1.0, -2.0, 3.0], targets=1),
    ]
    found = explain(model(nodes, {"x": (FLOAT, ["N", 3])}, {"y": FLOAT}), x, composite=composite)
    assert np.isfinite(found["x_relevance"]).all()


def test_imputed_integers():
    x = np.array([[1, 0], [0, 3]])
    nodes = [
        node("Imputer", ["x"], ["i"], imputed_value_int64s=[7, 8], replaced_value_int64=0),
        helper.make_node("Cast", ["i"], ["h"], to=FLOAT),
    ]
    found, arrived = prepared(nodes, x, 2)
    np.testing.assert_allclose(found["x_relevance"], arrived, atol=1e-5)


def test_binarizer():
    x = normal(26, 5, 3)
    found, arrived = prepared([node("Binarizer", ["x"], ["h"], threshold=0.1)], x, 3)
    np.testing.assert_allclose(found["x_relevance"], arrived, atol=1e-6)
    assert not explain(single("Binarizer", 3), x, np.ones((5, 3)), composite="gradient")["x_relevance"].any()


def test_array_feature_extractor():
    """Columns may come twice, in any order, or not at all."""
    x, w = normal(27, 5, 4), normal(28, 1, 3)
    nodes = [
        node("ArrayFeatureExtractor", ["x", "c"], ["h"]),
        node("LinearRegressor", ["h"], ["y"], coefficients=w.ravel().tolist(), targets=1),
    ]
    columns = np.array([[3, 0, 3]])
    source = model(nodes, {"x": (FLOAT, ["N", 4])}, {"y": FLOAT}, {"c": columns})
    expected = np.zeros_like(x)
    np.add.at(expected, (slice(None), columns[0]), x[:, columns[0]] * w)
    np.testing.assert_allclose(explain(source, x, composite="lrp0")["x_relevance"], expected, atol=1e-5)


def test_feature_vectorizer():
    """What does not fit is cut off, what is missing is 0."""
    w = normal(30, 1, 6)
    nodes = [
        node("FeatureVectorizer", ["a", "b"], ["h"], inputdimensions=[2, 4]),
        node("LinearRegressor", ["h"], ["y"], coefficients=w.ravel().tolist(), targets=1),
    ]
    for kind in (np.float32, np.int64):
        a, b = (normal(29, 5, 3) * 5).astype(kind), np.arange(10).reshape(5, 2).astype(kind)
        dtype = helper.np_dtype_to_tensor_dtype(a.dtype)
        source = model(nodes, {"a": (dtype, ["N", 3]), "b": (dtype, ["N", "B"])}, {"y": FLOAT})
        found = explain(source, {"a": a, "b": b}, composite="lrp0")
        np.testing.assert_allclose(found["a_relevance"], np.hstack([a[:, :2] * w[:, :2], np.zeros((5, 1))]), atol=1e-4)
        np.testing.assert_allclose(found["b_relevance"], b * w[:, 2:4], atol=1e-4)


# -------------------------------------------------------------------------------------------------------- categories


def words(*rows: str) -> Array:
    return np.array([list(row) for row in rows], object)


@pytest.mark.parametrize("zeros", [0, 1])
def test_one_hot_encoder(zeros):
    """Of words, integers, and floats that are rounded only to be encoded: summed, to each column."""
    flat = [helper.make_node("Reshape", ["o", "flat"], ["h"])]
    flat_shape = {"flat": np.array([0, 6])}
    cases = [
        (words("ac", "ba", "cb"), {"cats_strings": ["a", "b", "c"]}, []),
        (np.array([[4, 6], [5, 4], [6, 5]]), {"cats_int64s": [4, 5, 6]}, []),
        (
            np.array([[4, 6], [5, 4], [6, 5]], np.float32),
            {"cats_int64s": [4, 5, 6]},
            [helper.make_node("Cast", ["x"], ["c"], to=INT)],
        ),
    ]
    for x, categories, before in cases:
        encoder = node("OneHotEncoder", ["c" if before else "x"], ["o"], zeros=zeros, **categories)
        found, arrived = prepared([*before, encoder, *flat], x, 6, initializers=flat_shape)
        np.testing.assert_allclose(found["x_relevance"], arrived.reshape(3, 2, 3).sum(-1), atol=1e-6)
        assert found["x_relevance"].shape == (3, 2)
        assert found["x_relevance"].dtype == np.float32


@pytest.mark.parametrize("operator", ["LabelEncoder", "CategoryMapper"])
def test_label_encoder(operator):
    """Words become numbers: what arrives at the number is the word's."""
    x = words("ac", "ba", "cb")
    table = {"LabelEncoder": {"keys_strings": ["a", "b", "c"], "values_int64s": [3, 1, 2]}}
    table["CategoryMapper"] = {"cats_strings": ["a", "b", "c"], "cats_int64s": [3, 1, 2]}
    nodes = [node(operator, ["x"], ["i"], **table[operator]), helper.make_node("Cast", ["i"], ["h"], to=FLOAT)]
    found, arrived = prepared(nodes, x, 2)
    np.testing.assert_allclose(found["x_relevance"], arrived, atol=1e-6)


def test_what_is_looked_up_at_a_computed_place_is_a_constant():
    """As an isolation forest's leaves are: the number of a leaf is no quantity."""
    encoder = {"keys_floats": [-1.0, 0.0, 1.0], "values_floats": [5.0, 3.0, 4.0], "default_float": 9.0}
    nodes = [helper.make_node("Sign", ["x"], ["s"]), node("LabelEncoder", ["s"], ["h"], **encoder)]
    with pytest.raises(NothingToExplainError):
        prepared(nodes, normal(31, 5, 3), 3)


def test_words_beside_numbers():
    """A column of words and one of numbers, each with its own relevance; words that are not encoded have none."""
    nodes = [
        node("OneHotEncoder", ["word"], ["o"], cats_strings=["a", "b"]),
        helper.make_node("Reshape", ["o", "flat"], ["r"]),
        helper.make_node("Concat", ["r", "number"], ["h"], axis=1),
        node("LinearRegressor", ["h"], ["y"], coefficients=[1.0, 2.0, 3.0], targets=1),
        helper.make_node("StringConcat", ["other", "other"], ["twice"]),
    ]
    inputs = {"word": (STRING, ["N", 1]), "number": (FLOAT, ["N", 1]), "other": (STRING, [1])}
    source = model(nodes, inputs, {"y": FLOAT, "twice": STRING}, {"flat": np.array([0, -1])})
    feeds = {"word": words("a", "b"), "number": np.array([[0.5], [2.0]], np.float32), "other": np.array(["z"], object)}
    found = explain(source, feeds, composite="lrp0")
    np.testing.assert_allclose(found["word_relevance"], [[1], [2]], atol=1e-6)
    np.testing.assert_allclose(found["number_relevance"], [[1.5], [6]], atol=1e-6)
    assert "other_relevance" not in found
    assert found["twice"].tolist() == ["zz"]


# -------------------------------------------------------------------------------------------------------------- maps


def of_a_map(vectorizer: onnx.NodeProto, key: int, value: int, size: int) -> onnx.ModelProto:
    last = node("LinearRegressor", ["v"], ["y"], coefficients=np.arange(1.0, size + 1).tolist(), targets=1)
    source = model([vectorizer, last], {"v": (FLOAT, [1, size])}, {"y": FLOAT})
    taken = source.graph.input[0]
    taken.name = "x"
    entry = helper.make_tensor_type_proto(value, None)
    taken.type.CopyFrom(helper.make_map_type_proto(key, entry))
    return source


def test_dict_vectorizer():
    """A map has no shape: its relevance is that of the vector, by the vocabulary."""
    source = of_a_map(node("DictVectorizer", ["x"], ["v"], string_vocabulary=["a", "b", "c"]), STRING, FLOAT, 3)
    explained = onnxlrp.convert(source, "lrp0")
    found = onnxlrp.Explainer(explained)({"x": {"c": 2.0, "a": 1.0}})
    np.testing.assert_allclose(found.relevance["x"], [[1, 0, 6]], atol=1e-6)
    assert float(found.outputs["y"][0, 0]) == 7
    proto = explained.to_proto()
    assert proto.graph.input[0] == source.graph.input[0]
    assert [n for n in proto.graph.node if n.op_type == "DictVectorizer"] == [source.graph.node[0]]


def test_cast_map():
    vectorizer = node("CastMap", ["x"], ["v"], cast_to="TO_FLOAT", map_form="SPARSE", max_map=3)
    found = onnxlrp.Explainer(onnxlrp.convert(of_a_map(vectorizer, INT, FLOAT, 3), "lrp0"))({"x": {0: 5.0, 2: 2.0}})
    np.testing.assert_allclose(found.relevance["x"], [[5, 0, 6]], atol=1e-6)


def test_a_map_that_two_nodes_read_is_refused():
    source = of_a_map(node("DictVectorizer", ["x"], ["v"], string_vocabulary=["a"]), STRING, FLOAT, 1)
    source.graph.node.append(node("DictVectorizer", ["x"], ["w"], string_vocabulary=["b"]))
    with pytest.raises(InvalidModelError, match="is a map that"):
        onnxlrp.convert(source)
