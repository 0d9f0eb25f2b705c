"""Data of every kind: the right result, or an error in a sentence."""

from __future__ import annotations

import datetime
import decimal
import warnings

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxlrp
from onnxlrp.errors import ExplanationWarning, InputError, InvalidModelError, OnnxLrpError, TargetError
from onnxlrp.runtime import Explainer

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32)


class Foreign:
    """Something that other libraries make: `__array__` gives an array, or raises."""

    def __init__(self, array=None):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        if self.array is None:
            raise RuntimeError("it is on another device")
        return self.array

    def __len__(self):
        return len(self.array if self.array is not None else X)

    def __getitem__(self, which):
        return Foreign(None if self.array is None else self.array[which])


class Sparse:
    """A matrix that keeps what is not 0."""

    nnz, ndim, shape = 2, 2, (2, 3)

    def toarray(self):
        return X

    def __len__(self):
        raise TypeError("sparse array length is ambiguous")

    def __getitem__(self, which):
        return self


def explainer(kind):
    text = f'<ir_version: 10, opset_import: ["": 21]> g ({kind}[N, 3] x) => ({kind}[N, 3] y) {{ y = Relu (x) }}'
    return Explainer(onnxlrp.convert(onnx.parser.parse_model(text), "epsilon"))


@pytest.fixture(scope="module")
def float32():
    return explainer("float")


@pytest.fixture(scope="module")
def float16():
    return explainer("float16")


def ragged():
    array = np.empty(2, object)
    array[:] = [X[0], X[1][:2]]
    return array


def holding_itself():
    endless: list = [1.0, 2.0]
    endless.append(endless)
    return endless


RIGHT = {
    "as it is": X,
    "big-endian": X.astype(">f4"),
    "backwards in memory": X[::-1, ::-1].copy()[::-1, ::-1],
    "columns first in memory": np.asfortranarray(X),
    "every second row": np.repeat(X, 2, axis=0)[::2],
    "repeated without memory": np.broadcast_to(X[:1], (2, 3)),
    "masked nowhere": np.ma.array(X),
    "lists": X.tolist(),
    "tuples": tuple(map(tuple, X.tolist())),
    "a list of arrays": list(X),
    "a list of big-endian arrays": list(X.astype(">f4")),
    "whole numbers in lists": X.astype(int).tolist(),
    "ranges": [range(3), range(3, 6)],
    "bools in lists": [[True, False, True]] * 2,
    "another library's": Foreign(X),
    "another library's float64": Foreign(X.astype(np.float64)),
    "no rows": X[:0],
}
WORDS = {
    "float64": (X.astype(np.float64), r"convert it with array\.astype\('float32'\)"),
    "float16": (X.astype(np.float16), r"is float16 \[2, 3\]: convert it"),
    "whole numbers": (X.astype(np.int64), "is int64"),
    "complex": (X.astype(complex), r"is complex128 \[2, 3\]$"),
    "complex in lists": ([[1j, 2, 3]], r"is complex128 \[1, 3\]$"),
    "dates": (X.astype("M8[s]"), r"is datetime64\[s\] \[2, 3\]$"),
    "Python's dates": ([[datetime.date(2020, 1, 1)] * 3], r"Python objects \(date\)"),
    "decimals": ([[decimal.Decimal("1.5")] * 3], r"Python objects \(Decimal\)"),
    "objects": (X.astype(object), r"Python objects \(float\)"),
    "None among numbers": ([[None, 1, 2]], r"Python objects \(NoneType, int\)"),
    "an array of arrays": (ragged(), r"Python objects \(ndarray\)"),
    "ragged": ([[1, 2, 3], [1, 2]], "is no array"),
    "nested unevenly": ([[1, 2, 3], [[1], 2, 3]], "is no array"),
    "a list in itself": (holding_itself(), "is no array"),
    "strings": ([["a", "b", "c"]], "is string"),
    "numbers as strings": ([["1", "2", "3"]], "is string"),
    "bytes": (b"abc", "is string|ids of a text"),
    "masked": (np.ma.masked_equal(X, 3), "1 values are masked"),
    "masked among arrays": ([np.ma.masked_equal(X[0], 3), X[1]], "1 values are masked"),
    "sparse": (Sparse(), r"sparse matrix: give it as value\.toarray\(\)|give an array of samples"),
    "on another device": (Foreign(), "no array: it is on another device|cannot be read"),
    "a generator": ((row for row in X), "generator"),
    "a dictionary": ({"a": 1}, "dict|give an array"),
    "a set": ({1, 2}, "set|give an array"),
    "nothing": (None, "NoneType|give an array"),
    "a number": (1.0, "it must have 2 axes, not 0|give an array"),
    "a 0-d array": (np.array(1.0, np.float32), "it must have 2 axes, not 0|give an array"),
    "one row": (X[0], r"array\[None\]|must have 2 axes"),
    "three axes": (X[None], "it must have 2 axes"),
    "two columns": (X[:, :2], "axis 1 must be 3, not 2"),
    "an empty list": ([], "it must have 2 axes|at least one"),
    "an empty row": ([[]], "axis 1 must be 3, not 0"),
    "too large": ([[1e39, 1, 2]], r"float32, which cannot hold 1e\+39"),
    "too large for a float": ([[10**400, 1, 2]], "Python objects"),
    "a record": (np.zeros(2, [("a", "f4")]), "takes float32"),
}


@pytest.mark.parametrize("kind", RIGHT)
def test_what_is_taken(float32, kind):
    value = RIGHT[kind]
    expected = np.asarray(value).astype(np.float32)
    np.testing.assert_array_equal(float32({"x": value}).outputs["y"], expected)


@pytest.mark.parametrize("kind", WORDS)
@pytest.mark.parametrize("call", ["call", "map"])
def test_what_is_refused(float32, kind, call):
    value, words = WORDS[kind]
    with pytest.raises(InputError, match=words):
        float32({"x": value}) if call == "call" else list(float32.map({"x": value}))


def test_a_read_only_array(float32):
    x = X.copy()
    x.flags.writeable = False
    np.testing.assert_array_equal(float32({"x": x}).outputs["y"], X)


def test_the_only_input_needs_no_name(float32):
    np.testing.assert_array_equal(float32(X).outputs["y"], X)
    (once,) = float32.map(X)
    np.testing.assert_array_equal(once.outputs["y"], X)


@pytest.mark.parametrize("value", [[X], 5, None, "no file", {"x"}, [("x", X)]])
def test_values_of_the_only_input_that_do_not_fit(float32, value):
    for call in (float32, lambda one: list(float32.map(one))):
        with pytest.raises(InputError):
            call(value)


def test_names_that_are_no_strings(float32):
    with pytest.raises(InputError, match="has no input 5"):
        float32({5: X})


@pytest.mark.parametrize("value", [[[70000, 1, 2]], [[7e4, 1, 2]]])
def test_numbers_that_overflow_in_float16(float16, value):
    with pytest.raises(InputError, match="float16, which cannot hold 70000: its largest number is 65504"):
        float16({"x": value})
    assert float16({"x": [[65504, 1, 2]]}).outputs["y"][0, 0] == 65504


@pytest.mark.parametrize(
    ("value", "words"), [(np.inf, "holds 2 infinite numbers"), (-np.inf, "2 infinite"), (np.nan, "holds 2 NaN")]
)
@pytest.mark.parametrize("call", ["call", "map"])
def test_infinities_are_warned_of_like_nan(float32, value, words, call):
    x = X.copy()
    x[:, 0] = value
    with pytest.warns(ExplanationWarning, match=words) as caught:
        float32({"x": x}) if call == "call" else list(float32.map({"x": x}, 1))
    (only,) = [one.message for one in caught if isinstance(one.message, ExplanationWarning)]
    assert "though no input holds" not in str(only) and only.cautions[0].kind == "nan"


def test_infinity_in_a_mask_is_not_told():
    """An additive mask holds it by design, where it is not explained and relevance is finite."""
    text = """<ir_version: 10, opset_import: ["": 21]> g (float[N, 3] x, float[N, 3] mask) => (float[N, 3] y)
    { p = Softmax (mask) y = Mul (x, p) }"""
    model = onnxlrp.convert(onnx.parser.parse_model(text), "epsilon", inputs=["x"], target="weights")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Explainer(model)({"x": X, "mask": np.array([[0, 0, -np.inf]] * 2, np.float32)})


@pytest.mark.parametrize(
    "value", [[[1], [1, 2]], np.uint64(2**64 - 1), 10**30, 1.5, Foreign(), np.ma.masked_equal([1, 2], 2), {}, "a"]
)
def test_targets_that_are_none(linear, value):
    explain = Explainer(linear)
    for call in (explain, lambda inputs, **options: list(explain.map(inputs, **options))):
        with pytest.raises(TargetError):
            call({"x": X}, target=value)


@pytest.mark.parametrize("value", [[[1.0], [1, 2]], 1j, "a", Foreign(), [1e39], np.ma.masked_equal([[1.0] * 4], 1.0)])
def test_weights_that_are_none(weighted, value):
    explain = Explainer(weighted)
    for call in (explain, lambda inputs, **options: list(explain.map(inputs, **options))):
        with pytest.raises(OnnxLrpError):
            call({"x": X}, weights=value)


@pytest.mark.parametrize("value", [5, "CPUExecutionProvider", [5], [("CPUExecutionProvider",)], [[]], ["Nonsense"]])
def test_providers_that_are_none(linear, value):
    with pytest.raises(InputError, match=r"provider|has no Nonsense"):
        Explainer(linear, providers=value)


@pytest.mark.parametrize("value", [5, None, ["a"], "a\0b", b"", "", {}])
def test_models_that_are_none(value):
    with pytest.raises(InvalidModelError):
        Explainer(value)


@pytest.mark.parametrize("value", [5, None, ["unit"], "nan/1", "0/inf", "0"])
def test_preprocessing_that_is_none(float32, value):
    with pytest.raises(InputError, match="no preprocessing"):
        float32.map({"x": X}, preprocess=value)


@pytest.mark.parametrize("value", ["pictures/**x", "a\0b", "*" * 5000])
def test_paths_that_are_none(float32, value):
    with pytest.raises(InputError):
        list(float32.map({"x": value}))
