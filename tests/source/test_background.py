"""Rows of data for a model's inputs, in every form that they are given in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from onnxlrp.errors import InputError
from onnxlrp.source.background import rows_of, split_clusters

ROWS = np.arange(6.0).reshape(3, 2)


def value(name: str = "x", shape: tuple = ("N", 2), dtype: ir.DataType = ir.DataType.FLOAT) -> ir.Value:
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(list(shape)))


class Frame:
    """As much of a data frame as is asked for."""

    class _Column:
        def __init__(self, values: list) -> None:
            self.values = values

        def to_numpy(self) -> np.ndarray:
            return np.array(self.values)

    def __init__(self, columns: dict[str, list]) -> None:
        self.columns, self._data = list(columns), columns

    def __getitem__(self, name: str) -> _Column:
        return self._Column(self._data[name])

    def to_numpy(self) -> np.ndarray:
        return np.array(list(self._data.values())).T


def test_one_input(tmp_path):
    """An array, a list, a table of columns, a dictionary, and the files of each."""
    x = value()
    np.save(tmp_path / "rows.npy", ROWS)
    np.savez(tmp_path / "rows.npz", ROWS)
    np.savez(tmp_path / "named.npz", x=ROWS)
    (tmp_path / "plain.csv").write_text("0,1\n2,3\n4,5\n")
    (tmp_path / "header.csv").write_text("age,height\n0,1\n2,3\n4,5\n")
    frame = Frame({"age": [0, 2, 4], "height": [1, 3, 5]})
    files = [tmp_path / n for n in ("rows.npy", "rows.npz", "named.npz", "plain.csv", "header.csv")]
    for given in (ROWS, ROWS.tolist(), frame, {"x": ROWS}, *files, str(files[0])):
        (found,) = rows_of(given, [x]).items()
        assert found[0] is x and found[1].dtype == np.float32
        np.testing.assert_array_equal(found[1], ROWS)


def test_an_input_a_column(tmp_path):
    """By name; columns that the model does not have are left out of a table, and words stay words."""
    inputs = [value("age", ("N", 1)), value("city", ("N", 1), ir.DataType.STRING)]
    frame = Frame({"age": [1, 2], "city": ["a", "b"], "other": [0, 0]})
    (tmp_path / "people.csv").write_text("age,city\n1,a\n2,b\n")
    (tmp_path / "more.csv").write_text(",age,city,bought\n0,1,a,yes\n1,2,b,no\n")
    for given in (frame, tmp_path / "people.csv", tmp_path / "more.csv", {"age": [1, 2], "city": [["a"], ["b"]]}):
        age, city = rows_of(given, inputs).values()
        assert age.tolist() == [[1.0], [2.0]] and city.tolist() == [["a"], ["b"]]


def test_missing_values_and_truth_values(tmp_path):
    """Empty cells, None and NaN are missing; true and false may be words."""
    (tmp_path / "holes.csv").write_text("age,height\n0,\n,3\n4, \n")
    for given in (tmp_path / "holes.csv", [[0, None], [None, 3], [4, np.nan]]):
        (rows,) = rows_of(given, [value()]).values()
        np.testing.assert_array_equal(rows, [[0, np.nan], [np.nan, 3], [4, np.nan]])
    flag = value("flag", ("N", 1), ir.DataType.BOOL)
    (tmp_path / "flags.csv").write_text("flag\nTrue\nfalse\n0\n1\n")
    for given in (tmp_path / "flags.csv", {"flag": [True, False, False, True]}, {"flag": [1.0, 0, 0, 1]}):
        assert rows_of(given, [flag])[flag].tolist() == [[True], [False], [False], [True]]


@pytest.mark.parametrize("dtype", [ir.DataType.INT64, ir.DataType.UINT8, ir.DataType.BOOL])
@pytest.mark.parametrize("cell", [np.nan, None, "", 0.5, -np.inf, 2**70])
def test_whole_numbers_are_never_made_up(dtype, cell):
    with pytest.raises(InputError, match="the rows do not: they hold"):
        rows_of({"n": [1.0, cell]}, [value("n", ("N", 1), dtype)])
    with pytest.raises(InputError, match="the rows do not: they hold -3"):
        rows_of({"n": [-3, 1]}, [value("n", ("N", 1), ir.DataType.UINT8)])


BAD = [
    (np.ones((3, 5)), "the rows are \\[3, 5\\]"),
    (np.ones((0, 2)), "the rows are \\[0, 2\\]"),
    ({}, "holds no columns"),
    (np.ones(2), "the rows are \\[2\\]"),
    ([["a", "b"]], "the rows do not"),
    ({"x": ROWS, "y": ROWS}, "no input y"),
    ("rows.txt", "no .npy, .npz or .csv"),
    ("missing.npy", "cannot be read"),
]


@pytest.mark.parametrize(("given", "message"), BAD)
def test_bad_rows(given, message):
    with pytest.raises(InputError, match=message):
        rows_of(given, [value()])


def test_several_inputs_need_names():
    with pytest.raises(InputError, match="2 inputs"):
        rows_of(ROWS, [value("a"), value("b")])
    with pytest.raises(InputError, match="different numbers of rows"):
        rows_of({"a": ROWS, "b": ROWS[:1]}, [value("a"), value("b")])


def test_a_broken_table(tmp_path):
    (tmp_path / "broken.csv").write_text("1,2\n3\n")
    (tmp_path / "broken.npz").write_bytes(b"PK nothing")
    for name in ("broken.csv", "broken.npz"):
        with pytest.raises(InputError, match="background"):
            rows_of(tmp_path / name, [value()])


def test_centres_in_the_place_of_rows():
    """A pair of the number and the data, or a path with the number as its beginning."""
    assert split_clusters(("kmeans=50", ROWS))[1] == 50
    assert split_clusters(("kmeans=50", ROWS))[0] is ROWS
    assert split_clusters("kmeans=7:folder/rows.csv") == ("folder/rows.csv", 7)
    assert split_clusters(Path("kmeans=7:rows.csv")) == ("rows.csv", 7)
    for plain in ("rows.csv", "C:\\rows.csv", "kmeans=7", ([1.0], [2.0]), ROWS):
        data, count = split_clusters(plain)
        assert data is plain and count is None
    for wrong in (("kmeans=0", ROWS), ("kmeans=few", ROWS), ("means", ROWS), "kmeans=-1:rows.csv"):
        with pytest.raises(InputError, match="kmeans=K with a whole number"):
            split_clusters(wrong)
