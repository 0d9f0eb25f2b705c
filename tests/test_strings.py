"""Strings that users hold in their hands: bytes are the text that they spell, anything else is refused by its place."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.errors import InputError
from onnxlrp.strings import as_strings
from tests.operators.case import onnxruntime

WORDS = np.array([["a", "é"], ["b", "other"]])
ENCODED = [[w.encode() for w in row] for row in WORDS.tolist()]


@pytest.fixture(scope="module")
def source() -> onnx.ModelProto:
    """A number for each word, and two scores of two of them."""
    known = {"keys_strings": ["a", "b", "é"], "values_floats": [1.0, 2.0, 3.0], "default_float": -1.0}
    nodes = [
        helper.make_node("LabelEncoder", ["words"], ["numbers"], domain="ai.onnx.ml", **known),
        helper.make_node("MatMul", ["numbers", "w"], ["y"]),
    ]
    words = helper.make_tensor_value_info("words", TensorProto.STRING, ["N", 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2])
    w = numpy_helper.from_array(np.float32([[1, 2], [3, 4]]), "w")
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 2)]
    return helper.make_model(helper.make_graph(nodes, "g", [words], [y], [w]), opset_imports=imports, ir_version=8)


@pytest.fixture(scope="module")
def explainer(source: onnx.ModelProto) -> onnxlrp.Explainer:
    return onnxlrp.Explainer(onnxlrp.convert(source))


@pytest.mark.parametrize(
    "given",
    [
        WORDS,
        WORDS.tolist(),
        [[np.str_(w) for w in row] for row in WORDS],
        WORDS.astype(object),
        WORDS.astype(np.dtypes.StringDType()),
        np.array(ENCODED),
        np.array(ENCODED, object),
        ENCODED,
        [["a", ENCODED[0][1]], WORDS[1].tolist()],
    ],
    ids=["U", "list", "str_", "object", "T", "S", "bytes objects", "list of bytes", "mixed"],
)
def test_what_spells_the_same(given, source, explainer):
    """As onnxruntime runs the source on the plain words; in a call and in a map."""
    expected = onnxruntime(source)({"words": WORDS.astype(object)})["y"]
    plain = explainer({"words": WORDS}).relevance["words"]
    found = explainer({"words": given})
    np.testing.assert_array_equal(found.outputs["y"], expected)
    np.testing.assert_array_equal(found.relevance["words"], plain)
    mapped = [e.relevance["words"] for e in explainer.map({"words": given}, 1)]
    np.testing.assert_array_equal(np.concatenate(mapped), plain)


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (1.5, "is 1.5 of type float"),
        (7, "is 7 of type int"),
        (True, "is True of type bool"),
        (None, "one is missing (NoneType)"),
        (float("nan"), "one is missing (float)"),
        (["b"], "is ['b'] of type list"),
        (b"\xff\xfe", "no text in UTF-8"),
        ("\ud800", "no text in UTF-8"),
    ],
    ids=lambda v: repr(v)[:12],
)
def test_what_is_no_string(one: Any, message, explainer):
    """The input, the index and the type are named."""
    array = WORDS.astype(object)
    array[1, 0] = one
    for given in (array, array.tolist()) if not isinstance(one, list) else (array,):
        with pytest.raises(InputError) as error:
            explainer({"words": given})
        assert all(part in str(error.value) for part in ("'words'", "[1, 0]", message))


def test_missing_values_of_other_libraries():
    class NAType:
        """As pandas calls its own."""

    array = np.array(["a", NAType()], object)
    with pytest.raises(InputError, match=r"at \[1\] one is missing \(NAType\)"):
        as_strings(array, "words")
    array = np.array(["a", None], dtype=np.dtypes.StringDType(na_object=None))
    with pytest.raises(InputError, match=r"at \[1\] one is missing"):
        as_strings(array, "words")


@pytest.mark.parametrize("given", [np.array([[1, 2]]), [[1, 2]]], ids=["array", "list"])
def test_numbers_alone(given, explainer):
    with pytest.raises(InputError, match=r"takes string \[N, 2\], but the array is int64"):
        explainer({"words": given})


@pytest.mark.parametrize("rows", [WORDS, np.array(ENCODED), np.array(ENCODED, object)], ids=["U", "S", "objects"])
def test_background(rows, source):
    onnxlrp.convert(source, background=rows)
    bad = rows.astype(object)
    bad[0, 1] = 3
    with pytest.raises(InputError, match=r"'words' takes strings, but at \[0, 1\] is 3"):
        onnxlrp.convert(source, background=bad)
