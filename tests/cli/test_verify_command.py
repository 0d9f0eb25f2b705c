"""`onnxlrp verify` and `audit`: lines, JSON and exit statuses; `check` with the source beside an explained model."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import onnx.parser
import pytest

from onnxlrp.records import read_record
from onnxlrp.view.record_files import record_beside
from tests.cli.test_commands import call
from tests.cli.test_table_rows import CHURN, rows_file
from tests.runtime.recorded import SOURCE, folder_of


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return folder_of(tmp_path, ledger=True)


def test_verify_says_a_line_each(folder):
    call("explain", "tiny.lrp.onnx", "--input", "x=rows.npy", "--target", 1, "-o", "r.json", "--date")
    shown = call("verify", "r.json").stdout.splitlines()
    assert all(line.startswith(("holds", "note")) for line in shown) and len(shown) >= 10
    assert any(line.startswith("note         date: written at 2") for line in shown)
    done = json.loads(call("verify", "r.json", "--model", "tiny.onnx", "--input", "x=rows.npy", "--json").stdout)
    assert done["ok"] and {one["state"] for one in done["findings"]} == {"holds", "note"}
    onnx.save(onnx.parser.parse_model(SOURCE.replace("1, 1}", "1, 2}")), "other.onnx")
    refused = call("verify", "r.json", "--model", "other.onnx", status=4)
    assert "differs      source: 'other.onnx' is another model" in refused.stdout
    assert "statements do not hold or were not checked" in refused.stderr
    assert not json.loads(call("verify", "r.json", "--model", "other.onnx", "--json", status=4).stdout)["ok"]
    (folder / "rows.npy").unlink()
    assert "not checked  inputs: the recorded files (rows.npy) are not" in call("verify", "r.json", status=4).stdout
    assert "input" not in call("verify", "r.json", "--no-run").stdout


def test_what_has_no_record_cannot_be_verified(folder):
    assert "has no record" in call("verify", "rows.npy", status=3).stderr
    assert "there is no file" in call("verify", "none.json", status=3).stderr
    assert "it is none of" in call("verify", "tiny.onnx", status=3).stderr
    assert "'.' is a folder: name one of its files" in call("verify", ".", status=3).stderr
    call("explain", "tiny.lrp.onnx", "--input", "x=rows.npy", "-o", "r.json")
    assert "'.' is a folder, not a model" in call("verify", "r.json", "--model", ".", status=3).stderr


def test_a_file_in_the_home_folder(folder, monkeypatch):
    """A shell leaves ~ as it is after `NAME=`."""
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(folder))
    call("explain", "tiny.lrp.onnx", "--input", "x=~/rows.npy", "-o", "r.json")
    unknown = call("explain", "tiny.lrp.onnx", "--input", "x=~no.such.user/rows.npy", status=3)
    assert "no file '~no.such.user/rows.npy'" in unknown.stderr


def test_a_table_and_its_record_are_not_overwritten(tmp_path, monkeypatch):
    """Rows by their columns and identifiers, in one batch and in several; the record counts as a file of its own."""
    monkeypatch.chdir(tmp_path)
    onnx.save(onnx.parser.parse_model(CHURN), "churn.onnx")
    rows_file(tmp_path, 300)
    words = ("explain", "churn.onnx", "--input", "rows.csv", "--id", "customer", "-o", "out.csv")
    call(*words)
    call(*words[:-1], "out.npz")
    record = read_record("out.csv")
    assert record.batch_size == 256 and record.ids == ("customer",) and {*record.inputs} == {"age", "income", "visits"}
    assert record.relevance["age"].shape == (300, 1)
    for name in ("out.csv", "out.npz", "out.csv.record.json"):
        call("verify", name)
    (tmp_path / "out.csv").unlink()
    assert "out.csv.record.json' exists already" in call(*words, status=2).stderr
    call(*words, "--force")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    cells = lines[7].split(",")
    cells[-1] = str(float(cells[-1]) + 0.5)
    (tmp_path / "out.csv").write_text("\n".join([*lines[:7], ",".join(cells), *lines[8:], ""]))
    shown = call("verify", "out.csv", status=4).stdout
    assert "differs      file" in shown and "differs      numbers in the file" in shown
    assert record_beside(tmp_path / "out.csv").exists()


def test_a_folder_has_no_date(folder):
    words = ("explain", "tiny.lrp.onnx", "--input", "x=rows.npy", "--date")
    assert "--date" in call(*words, "-o", "many", status=2).stderr
    assert "--date" in call(*words, status=2).stderr


def test_check_finds_the_source_by_its_hash(folder):
    """It compares the outputs, which an explained model alone does not allow; a source of another name is found too."""
    shutil.move("tiny.onnx", "renamed.onnx")
    shown = call("check", "tiny.lrp.onnx")
    assert "compared with 'renamed.onnx'" in shown.stderr and "largest relative difference" in shown.stdout
    (folder / "renamed.onnx").unlink()
    assert "whose source is not beside it" in call("check", "tiny.lrp.onnx").stdout


def test_audit_finds_a_planted_drift(folder):
    """A drift of the input that makes another column matter most."""
    rng = np.random.default_rng(0)
    for name, sizes in (("then", (3, 1, 0.1)), ("now", (3.1, 1, 0.1)), ("drifted", (0.1, 0.5, 4))):
        np.save(f"{name}.npy", (rng.normal(size=(50, 3)) * sizes).astype(np.float32))
        call("explain", "tiny.lrp.onnx", "--input", f"x={name}.npy", "--target", 0, "-o", f"{name}.csv")
    shown = call("audit", "now.csv", "--baseline", "then.csv").stdout
    assert "50 explanations, 50 in the baseline" in shown and "the ranking has not drifted" in shown
    refused = call("audit", "drifted.csv", "--baseline", "then.csv", status=4)
    assert "the ranking has drifted" in refused.stderr
    done = json.loads(call("audit", "drifted.csv", "--baseline", "then.csv", "--json", status=4).stdout)
    assert done["drifted"] and done["features"][0]["name"] == "x[2]" and done["features"][0]["baseline_rank"] == 3
    call("audit", "drifted.csv", "--baseline", "then.csv", "--bound", 0.1)
    assert "from 0 to 1" in call("audit", "now.csv", "--bound", 2, status=2).stderr
    assert "mean |relevance|" in call("audit", "now.csv", "--top", 2).stdout
