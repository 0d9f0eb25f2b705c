"""Many explanations in one Parquet file: the same table as of one explanation, whole or not at all, continued."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxlrp
from onnxlrp.errors import InputError
from onnxlrp.view import stored_table
from onnxlrp.view.explanation_table import table_of
from tests.cli.test_commands import call
from tests.cli.test_table_rows import CHURN, read, rows_file
from tests.peers.test_frames import IMAGE

pytestmark = [pytest.mark.engines, pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")]
pytest.importorskip("pyarrow")

RANDOM = np.random.default_rng(0)
ROWS = {
    "age": RANDOM.normal(size=1000).astype(np.float32),
    "income": RANDOM.normal(size=1000).astype(np.float32),
    "visits": RANDOM.integers(0, 9, 1000),
    "customer": np.array([None, *(f"C-{index}" for index in range(1, 1000))], dtype=object),
}


@pytest.fixture
def explainer():
    return onnxlrp.Explainer(onnxlrp.convert(onnx.parser.parse_model(CHURN)))


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of two batches of 100 rows each."""
    monkeypatch.setattr(stored_table, "_ROWS", 200)


def batches_run(explainer, monkeypatch):
    """Sizes of the batches that the explainer runs."""
    sizes, compute = [], explainer.compute

    def counting(prepared, **options):
        sizes.append(len(prepared.feeds["age"]))
        return compute(prepared, **options)

    monkeypatch.setattr(explainer, "compute", counting)
    return sizes


def test_the_file_holds_the_table_of_one_explanation(explainer, tmp_path, small_parts):
    done = explainer.map(ROWS, 100, to=tmp_path / "rows.parquet", ids="customer")
    whole = table_of(explainer(ROWS, ids="customer"))
    assert list(done) == list(whole) and done.rows == done.samples == 1000 and done.complete
    for name, column in whole.items():
        np.testing.assert_array_equal(done[name], column)
        assert done[name].dtype == column.dtype
    assert [len(part["age"]) for part in done.batches()] == [200] * 5
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]
    with pytest.raises(KeyError):
        done["none"]
    assert "1,000 rows" in repr(done) and "age_relevance" in done._repr_html_()


def test_samples_are_numbered_through(tmp_path):
    """A model of pictures gives a row an entry; the sample's number counts over all batches."""
    field = RANDOM.normal(size=(5, 2, 3)).astype(np.float32)
    explainer = onnxlrp.Explainer(onnxlrp.convert(onnx.parser.parse_model(IMAGE)))
    done = explainer.map(field, 2, to=tmp_path / "fields.parquet")
    assert done["sample"].tolist() == np.repeat(np.arange(5), 6).tolist() and done.rows == 30
    np.testing.assert_allclose(done["value"], field.reshape(-1))


def test_an_interrupted_run_goes_on(explainer, tmp_path, small_parts, monkeypatch):
    path = tmp_path / "rows.parquet"
    compute, runs = explainer.compute, 0

    def failing(prepared, **options):
        nonlocal runs
        runs += 1
        if runs == 6:
            raise KeyboardInterrupt
        return compute(prepared, **options)

    monkeypatch.setattr(explainer, "compute", failing)
    with pytest.raises(KeyboardInterrupt):
        explainer.map(ROWS, 100, to=path, ids="customer")
    assert not path.exists()
    assert len([*(tmp_path / "rows.parquet.parts").glob("*.arrow")]) == 2
    monkeypatch.setattr(explainer, "compute", compute)
    sizes = batches_run(explainer, monkeypatch)
    with pytest.raises(InputError, match="explains other data"):
        explainer.map({**ROWS, "age": ROWS["age"] + 1}, 100, to=path, ids="customer")
    with pytest.raises(InputError, match="batch_size"):
        explainer.map(ROWS, 50, to=path, ids="customer")
    done = explainer.map(ROWS, 100, to=path, ids="customer")
    assert sizes == [100] * 6 and done.rows == 1000
    assert done["age"].tolist() == ROWS["age"].tolist()


def test_a_complete_file_is_not_computed_again(explainer, tmp_path, monkeypatch):
    explainer.map(ROWS, to=tmp_path / "rows.parquet", ids="customer")
    sizes = batches_run(explainer, monkeypatch)
    assert explainer.map(ROWS, to=tmp_path / "rows.parquet", ids="customer").rows == 1000 and not sizes
    others = ROWS["customer"][::-1]
    for rows, options in (({**ROWS, "customer": others}, {}), (ROWS, {"target": 1}), (ROWS, {"batch_size": 10})):
        with pytest.raises(InputError, match="exists already"):
            explainer.map(rows, to=tmp_path / "rows.parquet", ids="customer", **options)
    (tmp_path / "other.parquet").write_text("nothing")
    with pytest.raises(InputError, match="exists already"):
        explainer.map(ROWS, to=tmp_path / "other.parquet", ids="customer")
    with pytest.raises(InputError, match="does not exist"):
        explainer.map(ROWS, to=tmp_path / "none" / "other.parquet", ids="customer")


def test_a_damaged_part_is_named(explainer, tmp_path, small_parts, monkeypatch):
    path = tmp_path / "rows.parquet"
    monkeypatch.setattr(stored_table, "_join", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        explainer.map(ROWS, 100, to=path, ids="customer")
    part = path.with_name("rows.parquet.parts") / "000000200-000000400.arrow"
    part.write_bytes(part.read_bytes().replace(b"C-301", b"C-300"))
    monkeypatch.undo()
    monkeypatch.setattr(stored_table, "_ROWS", 200)
    with pytest.raises(InputError, match=r"000000200-000000400.arrow' is damaged: remove it"):
        explainer.map(ROWS, 100, to=path, ids="customer")
    part.unlink()
    assert explainer.map(ROWS, 100, to=path, ids="customer").rows == 1000


def test_the_command_writes_the_same_rows_as_csv(tmp_path):
    onnx.save(onnx.parser.parse_model(CHURN), tmp_path / "churn.onnx")
    words = ("explain", tmp_path / "churn.onnx", "--input", rows_file(tmp_path, 600), "--id", "customer")
    shown = call(*words, "-o", tmp_path / "out.csv").stdout.replace("out.csv", "")
    assert call(*words, "-o", tmp_path / "out.parquet").stdout.replace("out.parquet", "") == shown
    assert "--force" in call(*words, "-o", tmp_path / "out.parquet", status=2).stderr
    about = json.loads(call(*words, "-o", tmp_path / "out.parquet", "--force", "--json").stdout)
    assert about["rows"] == 600 and about["ranking"][0]["name"] == "age"
    parquet = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "out.parquet").to_pylist()
    for row, text in zip(parquet, read(tmp_path / "out.csv"), strict=True):
        assert row["customer"] == text["customer"] and row["age_relevance"] == pytest.approx(
            float(text["age_relevance"])
        )
