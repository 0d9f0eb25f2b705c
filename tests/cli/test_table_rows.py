"""Tables on the command line: a column an input, identifiers, many rows to one file, and narrow screens."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import onnx
import onnx.parser
import pytest
from rich.console import Console
from rich.table import Table

from onnxlrp.view.narrow_tables import fitted
from tests.cli.test_commands import call

CHURN = """
<ir_version: 10, opset_import: ["": 21]>
churn (float[N, 1] age, float[N, 1] income, int64[N, 1] visits) => (float[N, 2] scores)
<float[3, 2] W = {1, -1, 2, 0, -1, 3}>
{
  counted = Cast <to = 1> (visits)
  joined = Concat <axis = 1> (age, income, counted)
  scores = MatMul (joined, W)
}
"""
HEAD = "customer,visits,age,income"


@pytest.fixture
def model(tmp_path):
    onnx.save(onnx.parser.parse_model(CHURN), tmp_path / "churn.onnx")
    return tmp_path / "churn.onnx"


def rows_file(tmp_path, count, name="rows.csv"):
    rows = [f"C-{index},{index % 5},{index + 20},{0.5 * index}" for index in range(count)]
    (tmp_path / name).write_text("\n".join([HEAD, *rows]) + "\n")
    return tmp_path / name


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_table_fills_an_input_a_column(model, tmp_path):
    out = tmp_path / "out.csv"
    shown = call(
        "explain", model, "--input", rows_file(tmp_path, 3), "--id", "customer", "--target", 0, "-o", out
    ).stdout
    assert "C-2" in shown and "visits" in shown and "Σ relevance" in shown and "Σ relevance age" not in shown
    rows = read(out)
    assert [row["customer"] for row in rows] == ["C-0", "C-1", "C-2"]
    for index, row in enumerate(rows):
        parts = {"age": index + 20, "income": index, "visits": -index}
        assert all(float(row[f"{name}_relevance"]) == pytest.approx(part) for name, part in parts.items())
        assert float(row["total_relevance"]) == pytest.approx(float(row["score"]))
        assert float(row["age"]) == index + 20


def test_what_does_not_match_is_named(model, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("agee,income,visits\n1,2,3\n")
    error = call("explain", model, "--input", path, status=3).stderr
    assert "lacks column 'age' (did you mean 'agee'?)" in error and "has column 'agee' that no input takes" in error
    error = call("explain", model, "--input", rows_file(tmp_path, 2), status=3).stderr
    assert "column 'customer' that no input takes" in error and "--id" in error
    for named in (("--input", f"age={tmp_path}/age.npy", "--id", "customer"), ("--input", tmp_path / "none.csv")):
        assert call("explain", model, *named, status=3).stderr
    more = ("--input", rows_file(tmp_path, 2), "--input", rows_file(tmp_path, 2, "more.csv"), "--id", "customer")
    assert "the table is one file, not 2" in call("explain", model, *more, status=3).stderr


@pytest.mark.parametrize("size", [None, 100])
def test_many_rows_are_written_batch_by_batch(model, tmp_path, size):
    out = tmp_path / "out.csv"
    sizes = () if size is None else ("--batch-size", size)
    words = ("explain", model, "--input", rows_file(tmp_path, 600), "--id", "customer", "-o", out, *sizes)
    shown = call(*words).stdout
    assert "wrote 600 rows" in shown and "mean |relevance|" in shown
    rows = read(out)
    assert [row["customer"] for row in rows] == [f"C-{index}" for index in range(600)]
    for row in rows[::97]:
        parts = [float(row[f"{name}_relevance"]) for name in ("age", "income", "visits")]
        assert sum(parts) == pytest.approx(float(row["score"]), rel=1e-5)
    about = json.loads(call(*words, "--force", "--json").stdout)
    assert about["rows"] == 600 and about["ranking"][0]["name"] == "age" and about["cautions"] == []


def test_many_rows_on_the_screen_are_cut_short(model, tmp_path):
    shown = call("explain", model, "--input", rows_file(tmp_path, 30), "--id", "customer").stdout
    assert "and 10 more; -o OUT.csv writes all" in shown and "C-19" in shown and "C-25" not in shown
    assert "most relevant over 30 rows" in shown


def test_a_folder_of_results_keeps_the_identifiers(model, tmp_path):
    rows, out = rows_file(tmp_path, 30), tmp_path / "results"
    call("explain", model, "--input", rows, "--id", "customer", "-o", out)
    with np.load(next(out.glob("*.npz"))) as content:
        assert content["customer"][:2].tolist() == ["C-0", "C-1"] and "age_relevance" in content


def test_narrow_screens_show_lines_and_wide_ones_the_table():
    table = Table(title="sample 0")
    for name in ("feature", "a very long title of a column"):
        table.add_column(name)
    table.add_row("age", "52")
    table.add_row("", "the rest")
    for width, lines in ((80, None), (30, ["sample 0", "feature age", "  a very long title of a column", ": 52"])):
        screen = Console(file=io.StringIO(), width=width)
        screen.print(fitted(table, screen))
        shown = screen.file.getvalue().splitlines()
        assert all(len(line.rstrip()) <= width for line in shown)
        assert ("━" in "".join(shown)) == (lines is None)
        if lines:
            assert shown[:2] == lines[:2] and "52" in "".join(shown)
    small = Table("a", "b")
    screen = Console(file=io.StringIO(), width=30)
    assert fitted(small, screen) is small and fitted("words", screen) == "words"
