"""Tables of plain numbers are read at once, and give what their cells give one by one."""

from __future__ import annotations

import numpy as np
import pytest

from onnxlrp.errors import InputError
from onnxlrp.runtime import csv_numbers, named_columns
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.matched_columns import match

PLAIN = [
    "a,b\n1,2\n3,4\n",
    "a;b\n1;2\n3;4",
    "a\tb\r\n1\t2\r\n\r\n3\t4\r\n",
    "\r\ra,b\r1,2\r3,4",
    '"a;1","b\nc"\n"1","2"\n3,4',
    " a , b \n 1 , +2 \n-3e-4,.4\n",
    "a,2019\n0.1,1e300\n-0,5e-324\n",
    "name\n1\n2\n",
]
OTHER = [
    "a,b\n1,\n3,4",
    "a,b\n1,NA\n3,4",
    "a,b\n1,true\n3,4",
    "a,b\n1_000,2\n3,4",
    "a,b\n1,2\n3,4,5",
    "a,b\n1,2,3\n4,5,6",
    "a,b\n1,inf\n3,4",
    "a,b\n1,1e999\n3,4",
    "a;b\n1,5;2\n3,5;4",
    "a,b\n1,word\n3,4",
    "a,b\n,\n3,4",
    "a,b\n#1,2\n3,4",
    "a,b\n١,2\n3,4",
    "a,b\n0x10,2\n3,4",
    "a,b\n",
    "a,b\n\n \n",
    "1,2\n3,4",
    "a,b\n1,2\x0b3,4\n",
    "a,b\n1,2\u20283,4\n",
    "",
    "a,b\n1,\0\n3,4",
]


def columns_of(tmp_path, content, dtype=np.float64):
    path = tmp_path / "t.csv"
    path.write_text(content, newline="", encoding="utf-8")
    table = named_columns.read_table_file(path)
    assert table is not None
    return table, match(table, {"x": TensorSpec("x", np.dtype(dtype), ("N", None))}, {}).inputs["x"]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize("content", PLAIN)
def test_plain_numbers(tmp_path, monkeypatch, content, dtype):
    """To the last bit, in every type that can hold them; whole numbers are read from the cells as text."""
    table, quick = columns_of(tmp_path, content, dtype if "." not in content else np.float64)
    assert table.numbers is not None
    monkeypatch.setattr(named_columns, "numbers_below_names", lambda text: None)
    other, slow = columns_of(tmp_path, content, quick.dtype)
    np.testing.assert_array_equal(quick, slow)
    assert [*table.columns] == [*other.columns]
    for name, cells in other.columns.items():
        assert name in table.columns and table.columns[name].tolist() == cells.tolist()


@pytest.mark.parametrize("content", OTHER)
def test_other_tables(content):
    """They are left to what tells a missing value from a mistake, and names the row."""
    assert csv_numbers.numbers_below_names(content) is None


def test_cells_as_text_are_read_when_they_are_asked_for(tmp_path, monkeypatch):
    """An identifier keeps its zeros; without one the text is never taken apart."""
    path = tmp_path / "t.csv"
    path.write_text("customer,a\n007,1\n008,2\n")
    spec = {"a": TensorSpec("a", np.dtype(np.float32), ("N", 1))}
    ids = match(named_columns.read_table_file(path), spec, {}, ["customer"]).ids
    assert ids["customer"].tolist() == ["007", "008"]
    monkeypatch.setattr(named_columns.table_inputs, "named_rows", lambda *_: pytest.fail("taken apart"))
    path.write_text("a\n1\n2\n")
    assert match(named_columns.read_table_file(path), spec, {}).inputs["a"].tolist() == [[1], [2]]


def test_a_number_too_large_for_the_input(tmp_path):
    with pytest.raises(InputError, match=r"t\.csv.*'a' takes float32, which cannot hold 1e\+39"):
        columns_of(tmp_path, "a,b\n1e39,2\n3,4", np.float32)
    with pytest.raises(InputError, match=r"t\.csv' has two columns by the name of 'a'"):
        columns_of(tmp_path, "a,a\n1,2\n3,4")
