"""Names of columns: from data frames, tables with a header and a file's metadata to explanations and folders."""

from __future__ import annotations

import numpy as np
import pytest

from onnxlrp.errors import InputError
from onnxlrp.runtime import Explainer, Results
from onnxlrp.runtime.column_names import KEY, of_frame, of_metadata
from onnxlrp.runtime.inputs import TensorSpec

X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
NAMES = ("age", "debt", "years")


class Frame:
    """As much of a data frame as is needed here: names, a shape, and an array."""

    def __init__(self, values, columns=NAMES):
        self.values, self.columns, self.shape = values, list(columns), values.shape

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        if isinstance(rows, str):
            return self.values[:, self.columns.index(rows)]
        return Frame(self.values[rows], self.columns)

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


def test_frames_have_names():
    assert of_frame(Frame(X)) == NAMES
    assert of_frame(Frame(X, [1, 2, 3])) == ("1", "2", "3")
    assert [of_frame(value) for value in (X, X.tolist(), "age", None, Frame(X[:, 0]))] == [()] * 5


def specs(*shapes):
    return {f"x{i}": TensorSpec(f"x{i}", np.dtype(np.float32), shape) for i, shape in enumerate(shapes)}


@pytest.mark.parametrize("text", ['["age", "debt", "years"]', "age, debt,years"])
def test_a_file_names_the_columns_of_its_only_table(text):
    assert of_metadata({KEY: text}, specs(("N", 3), ("N", 4))) == {"x0": NAMES}
    for other in (specs(("N", 3), ("N", 3)), specs(("N", 4)), specs(None), specs(("N", None)), {}):
        assert of_metadata({KEY: text}, other) == {}


@pytest.mark.parametrize("text", ["", "[", "[1", '{"age": 1}', '["age", "age", "years"]', "3"])
def test_what_are_no_names(text):
    assert of_metadata({KEY: text}, specs(("N", 3), ("N", 1))) == {}


def test_explanations_know_them(linear):
    explainer = Explainer(linear)
    assert explainer({"x": X}).columns == {} and explainer.columns == {}
    assert explainer({"x": Frame(X)}).columns == {"x": NAMES}
    entry = linear.metadata_props.add()
    entry.key, entry.value = KEY, "a,b,c"
    named = Explainer(linear)
    assert named({"x": X}).columns == named.columns == {"x": ("a", "b", "c")}
    assert named({"x": Frame(X)}).columns == {"x": NAMES}


def test_batches_and_folders_know_them(linear, tmp_path):
    explainer, table = Explainer(linear), tmp_path / "rows.csv"
    np.savetxt(table, X, delimiter=",", header=",".join(NAMES), comments="")
    for given in (Frame(X), table):
        assert [part.columns for part in explainer.map({"x": given}, 2)] == [{"x": NAMES}] * 3
    explainer.map({"x": table}, 2, to=tmp_path / "results")
    assert Results(tmp_path / "results").columns == {"x": NAMES}
    explainer.map({"x": X}, 2, to=tmp_path / "plain")
    assert Results(tmp_path / "plain").columns == {}


def test_names_are_no_part_of_what_a_folder_was_begun_with(linear, tmp_path):
    """A later run under other names finds the numbers there."""
    explainer = Explainer(linear)
    explainer.map({"x": X}, 2, to=tmp_path / "results")
    again = explainer.map({"x": Frame(X)}, 2, to=tmp_path / "results")
    assert again.complete and again.columns == {}


def test_frames_of_doubles_fit_in_a_call_and_in_batches(linear):
    """Data frames hold doubles: their numbers get the type of the input, as those of lists do."""
    explainer, frame = Explainer(linear), Frame(X.astype(np.float64))
    once = explainer({"x": frame}).relevance["x"]
    parts = [part.relevance["x"] for part in explainer.map({"x": frame}, 2)]
    np.testing.assert_array_equal(np.concatenate(parts), once)


def test_columns_that_the_file_knows_are_taken_by_name(linear):
    entry = linear.metadata_props.add()
    entry.key, entry.value = KEY, ",".join(NAMES)
    explainer, other = Explainer(linear), ["years", "age", "debt"]
    expected = explainer({"x": X}).relevance["x"]
    turned = Frame(X[:, [2, 0, 1]], other)
    for given in (turned, {"x": turned}):
        explanation = explainer(given)
        np.testing.assert_array_equal(explanation.relevance["x"], expected)
        assert explanation.columns == {"x": NAMES}
    with pytest.raises(InputError, match=r"lacks column 'debt' \(did you mean 'dept'\?\); .* has column 'dept'"):
        explainer(Frame(X, ["age", "dept", "years"]))
