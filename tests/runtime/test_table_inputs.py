"""Tables and texts as others write them: the right numbers, or an error in a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from onnxlrp.errors import InputError
from onnxlrp.runtime import table_inputs
from onnxlrp.runtime.files import load
from onnxlrp.runtime.inputs import TensorSpec

NAN = float("nan")
THREE = [[1, 2, 3], [4, 5, 6]]


def read(tmp_path, content, dtype=np.float32, columns=3):
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load(path, TensorSpec("x", np.dtype(dtype), ("N", columns)))


@pytest.mark.parametrize(
    ("content", "numbers", "columns"),
    [
        ("1,2,3\n4,5,6\n", THREE, ()),
        ("1;2;3\n4;5;6", THREE, ()),
        ("1\t2\t3\n4\t5\t6", THREE, ()),
        (" 1 , 2 , 3 \r\n\r\n4,5,6\r\n", THREE, ()),
        ("1,2,3\r4,5,6", THREE, ()),
        ('"1","2","3"\n"4","5","6"', THREE, ()),
        ("\ufeff1,2,3\n4,5,6", THREE, ()),
        ("\ufeffa,b,c\n1,2,3\n4,5,6", THREE, ("a", "b", "c")),
        ('"a;1","b\nc","d,e"\n1,2,3\n4,5,6', THREE, ("a;1", "b\nc", "d,e")),
        ("a,2019,2020\n1,2,3\n4,5,6", THREE, ("a", "2019", "2020")),
        (",2,3\n4,5,6", [[NAN, 2, 3], [4, 5, 6]], ()),
        ("NA,2,n/a\n4,null,6", [[NAN, 2, NAN], [4, NAN, 6]], ()),
        ("NaN,None,?\n4,5,6", [[NAN, NAN, NAN], [4, 5, 6]], ()),
        ("a,NA,c\n4,5,6", [[4, 5, 6]], ("a", "NA", "c")),
        ("0,1,2\n1.5,2.5,3.5\n", [[1.5, 2.5, 3.5]], ("0", "1", "2")),
        ("0,1,2\n3,4,5\n", [[0, 1, 2], [3, 4, 5]], ()),
        ("1.5,-2e3,inf", [[1.5, -2000, np.inf]], ()),
    ],
)
def test_tables(tmp_path, content, numbers, columns):
    loaded = read(tmp_path, content)
    np.testing.assert_array_equal(loaded.array, np.array(numbers, np.float32))
    assert loaded.columns == columns


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1,5;2,5;3,5\n4,0;5,0;6,0", "'1,5' is no float32.* decimal point"),
        ("a;b;c\n1,5;2,5;3,5", "'1,5' is no float32.* decimal point"),
        ('"1,234","2","3"', "'1,234' is no float32.* no thousands separators"),
        ("1 234,2,3", "'1 234' is no float32"),
        ("1_000,2,3", "'1_000' is no float32"),
        ("1,2,3\n1_000,2,3", "row 2: '1_000' is no float32"),
        ("10%,1,2", "'10%' is no float32"),
        ("1.5,x,3\n4,5,6", "first row holds 'x' and 1.5"),
        ("1,2,3\n4,oops,6", "row 2: 'oops' is no float32"),
        ("1e39,2,3", r"float32, which cannot hold 1e\+39"),
        ("1e999,2,3", "'1e999' is too large for float32"),
        ("1,2\n3,4,5", "rows differ in length"),
        ("a,b\nc,d\n", "'c' is no float32"),
        ("x,x,y\n1,2,3", "several columns by the name of input 'x'"),
        ("x,y\n1,2,3", "names 2 columns, but its rows hold 3"),
        ("1,2,3".encode("utf-16"), "not text in UTF-8"),
        ("é,b,c\n1,2,3".encode("latin-1"), "not text in UTF-8"),
        (b"1,\0,3\n", "no table"),
        ("a" * 200_000 + ",b,c\n1,2,3", "no table"),
        ("\n \n", "empty"),
    ],
)
def test_what_is_no_table(tmp_path, content, words):
    with pytest.raises(InputError, match=rf"t\.csv.*{words}"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "dtype", "words"),
    [
        ("70000,1,2", np.float16, "float16, which cannot hold 70000"),
        ("1,,3", np.int64, "missing value"),
        ("1,NA,3", np.int64, "missing value"),
        ("1.5,2,3", np.int64, "'1.5' is no int64"),
        ("1e30,2,3", np.int64, "too large for int64"),
        ("-1,2,3", np.uint8, "too small for uint8"),
        ("true,,0", np.bool_, "missing value"),
    ],
)
def test_numbers_of_another_type(tmp_path, content, dtype, words):
    with pytest.raises(InputError, match=words):
        read(tmp_path, content, dtype)


def test_a_first_row_of_truths_is_no_header(tmp_path):
    assert read(tmp_path, "true,false,1\n0,0,0", np.bool_).array.tolist() == [[True, False, True], [False] * 3]


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.bool_])
def test_truths_are_one_and_zero_to_every_type(tmp_path, dtype):
    array = read(tmp_path, "a,b,c\nTrue,False,1\n0,true,FALSE", dtype).array
    assert array.dtype == dtype
    assert array.tolist() == [[1, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.int8, np.uint64])
def test_cells_at_once_are_cells_one_by_one(tmp_path, monkeypatch, dtype):
    """One cell that must be read alone, 1.0 for whole numbers and infinity for fractions, changes no other."""
    cells = ["0", " 7 ", "-0" if np.dtype(dtype).kind == "u" else "-8", "true", "FALSE", "١"]
    cells += ["", "NA", ".1", "1e-3", "1.4999999999999999e2"] if np.dtype(dtype).kind == "f" else []
    spec = TensorSpec("x", np.dtype(dtype), ("N",))
    with monkeypatch.context() as patched:
        patched.setattr(table_inputs, "_each_number", lambda *_: pytest.fail("read alone"))
        quick = table_inputs.cells_as_numbers(np.array(cells, object), spec, tmp_path)
    alone = "-inf" if np.dtype(dtype).kind == "f" else "1.0"
    slow = table_inputs.cells_as_numbers(np.array([*cells, alone], object)[:, None], spec, tmp_path)[:, 0]
    np.testing.assert_array_equal(slow[:-1], quick)
    assert slow[-1] == float(alone)
    assert slow.dtype == quick.dtype == dtype


def test_a_column_of_cells_stays_text(tmp_path):
    """The same column may be asked for again, as an identifier."""
    cells = np.array([["007"], ["1.5"], ["inf"]], object)
    table_inputs.cells_as_numbers(cells, TensorSpec("x", np.dtype(np.float32), ("N",)), tmp_path)
    assert cells.tolist() == [["007"], ["1.5"], ["inf"]]
