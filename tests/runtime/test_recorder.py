"""What a record says of a call, and how it is read again."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import onnx
import pytest

import onnxlrp
from onnxlrp.errors import InputError
from onnxlrp.runtime.archive import hash_of_arrays
from onnxlrp.runtime.record import parse_record
from onnxlrp.runtime.recorder import Recorder, dated, recorder_of, versions
from tests.runtime.recorded import ROWS, explained_in, folder_of


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_hashes_are_those_that_anybody_computes(tmp_path):
    folder = folder_of(tmp_path, rules=[("Gemm", "Gamma(0.1)")], ledger=True, relevance_at=["h"])
    explanation = explained_in(folder, target=1)
    record = recorder_of(explanation).record()
    assert record.source.sha256 == sha256((folder / "tiny.onnx").read_bytes())
    assert record.explained.sha256 == sha256((folder / "tiny.lrp.onnx").read_bytes())
    assert (record.source.file, record.explained.file) == (None, "tiny.lrp.onnx")
    assert (record.composite, record.rules) == ("epsilon", ("Gemm=Gamma(gamma=0.1)",))
    assert record.options == {"relevance_at": ["h"], "ledger": True}
    one = record.inputs["x"]
    assert one.files == (("rows.npy", sha256((folder / "rows.npy").read_bytes())),)
    assert one.array.sha256 == sha256(ROWS.tobytes()) and one.array.sum is None  # a sum would tell a single number
    relevance = explanation.relevance["x"]
    assert record.relevance["x"].sha256 == sha256(relevance.tobytes())
    assert record.relevance["x"].absolute_sum == pytest.approx(np.abs(relevance).sum())
    assert record.target_given and record.target is not None and record.target.values == (1, 1)
    assert record.score is not None and record.score.values == tuple(explanation.score.tolist())
    assert record.ledger is not None and record.ledger["bias"] == pytest.approx(explanation.ledger.totals["bias"])
    assert record.versions == versions() and record.versions["onnx"] == onnx.__version__
    assert record.providers == ("CPUExecutionProvider",) and record.written is None


def test_a_model_in_memory_has_the_bytes_of_its_file(tmp_path):
    """Also one with a large tree ensemble would, whose columns are kept aside."""
    folder = folder_of(tmp_path)
    explained = onnxlrp.convert(folder / "tiny.onnx", "epsilon")
    record = recorder_of(onnxlrp.Explainer(explained)({"x": ROWS})).record()
    assert record.explained.sha256 == sha256((folder / "tiny.lrp.onnx").read_bytes())
    assert (record.source.file, record.explained.file, record.inputs["x"].files) == ("tiny.onnx", None, ())


def test_a_changed_file_has_no_hash(tmp_path):
    """A hash of what was not read would be false."""
    folder = folder_of(tmp_path)
    explanation = explained_in(folder)
    np.save(folder / "rows.npy", np.zeros((3, 3), np.float32))
    folder_of(tmp_path, ledger=True)
    record = recorder_of(explanation).record()
    assert record.explained.sha256 is None and record.inputs["x"].files == (("rows.npy", None),)


def test_batches_add_up_to_the_whole(tmp_path):
    explainer = onnxlrp.Explainer(folder_of(tmp_path, ledger=True) / "tiny.lrp.onnx")
    whole, parts = recorder_of(explainer({"x": ROWS}, target=[1, 0])), Recorder()
    for explanation in explainer.map({"x": ROWS}, batch_size=1, target=[1, 0]):
        parts.add(explanation)
    one, other = whole.record(), parts.record()
    assert other.inputs == one.inputs and other.target == one.target and other.relevance["x"].shape == (2, 3)
    assert other.ledger == pytest.approx(one.ledger) and (one.batch_size, other.batch_size) == (None, 1)


def test_weights_of_a_target(tmp_path):
    folder = folder_of(tmp_path, target="weights")
    record = recorder_of(explained_in(folder, weights=[[1, -1]])).record()
    assert record.target is None and record.weights is not None and record.weights.values == (1, -1)
    assert record.target_kind == "weights" and record.options == {"target": "weights"}


def test_a_date_is_written_where_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    record = recorder_of(dated(explained_in(folder_of(tmp_path)))).record()
    assert record.written == "2026-09-21T14:13:20Z"


def test_a_record_is_read_again(tmp_path):
    record = recorder_of(explained_in(folder_of(tmp_path))).record("0" * 64)
    whole = dataclasses.replace(record, further=(record,))
    assert parse_record(whole.to_text(), "here") == whole


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": "onnxlrp.record/9"}, "of the form 'onnxlrp.record/9'"),
        ({"rules": "Gemm=ZPlus"}, "damaged: 'Gemm=ZPlus' is no list"),
        ({"inputs": []}, "is no dict"),
        ({"source": {"sha": 1}}, "damaged"),
        ({"target": {"dtype": "int64"}}, "damaged"),
    ],
)
def test_a_damaged_record_is_refused(tmp_path, changes, words):
    content = {**recorder_of(explained_in(folder_of(tmp_path))).record().to_json(), **changes}
    with pytest.raises(InputError, match=words):
        parse_record(json.dumps(content), "'file'")


def test_what_is_no_json_or_lacks_an_entry(tmp_path):
    content = recorder_of(explained_in(folder_of(tmp_path))).record().to_json()
    del content["composite"]
    for text, words in ((json.dumps(content), "it lacks 'composite'"), ("{", "is no JSON"), ("[]", "of the form None")):
        with pytest.raises(InputError, match=words):
            parse_record(text, "'file'")


def test_hashes_serve_twice(tmp_path):
    """The hash of a file's arrays takes those that the record has already, and is the same without them."""
    recorder = recorder_of(explanation := explained_in(folder_of(tmp_path)))
    arrays = {"r": explanation.relevance["x"], **explanation.outputs, "more": explanation.relevance["x"] * 2}
    known = recorder.hashed()
    assert {id(explanation.relevance["x"]), *map(id, explanation.outputs.values())} == {*known}
    assert hash_of_arrays(arrays, known) == hash_of_arrays(arrays)
