"""`verify` finds everything that was changed: models, weights, inputs, composites, numbers, versions, targets."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxlrp
from onnxlrp.errors import InputError, InvalidModelError
from onnxlrp.records import read_record, verify
from onnxlrp.runtime.recorder import recorder_of
from onnxlrp.view.text_records import into_json, out_of_json
from tests.emit.test_concept_masks import X, network
from tests.runtime.recorded import ROWS, SOURCE, explained_in, folder_of


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A folder with a source, its explained model, an input, and an explanation of it."""
    folder = folder_of(tmp_path_factory.mktemp("verify"), ledger=True)
    for suffix in (".json", ".csv", ".npz", ".png"):
        explained_in(folder, target=[1, 0]).save(folder / f"r{suffix}")
    return folder


@pytest.fixture
def folder(original, tmp_path):
    """A copy of it, to be tampered with."""
    return Path(shutil.copytree(original, tmp_path / "copy"))


def states(verification, state="differs") -> list[str]:
    return [one.subject for one in verification.findings if one.state == state]


def tampered(folder: Path, **changes) -> Path:
    """Change entries of the record in r.json by functions of their old values."""
    path = folder / "r.json"
    text, _ = out_of_json(path.read_bytes())
    record = json.loads(text)
    entries = json.loads(path.read_bytes())
    del entries["record"]
    for name, change in changes.items():
        record[name] = change(record[name])
    path.write_bytes(into_json(json.dumps(entries).encode(), json.dumps(record)))
    return path


@pytest.mark.parametrize("suffix", [".json", ".csv", ".npz", ".png", ".csv.record.json"])
def test_all_holds_where_nothing_has_changed(original, suffix):
    """Model and input are found by the hashes beside the file."""
    verification = verify(original / f"r{suffix}")
    assert verification.ok, str(verification)
    assert {one.state for one in verification.findings} == {"holds"}
    subjects = [one.subject for one in verification.findings]
    assert {"file", "versions", "source", "explained model", "input 'x'", "target", "score", "ledger"} <= {*subjects}
    assert "relevance of 'x'" in subjects and ("numbers in the file" in subjects) == (suffix != ".png")


def test_another_model(folder):
    """A source with one other weight, given by name, or in the place of the right one."""
    onnx.save(onnx.parser.parse_model(SOURCE.replace("2, -1, 1, 1}", "2, -1, 1, 1.5}")), folder / "other.onnx")
    verification = verify(folder / "r.json", folder / "other.onnx", {"x": ROWS})
    assert states(verification) == ["source"] and not verification.ok
    shutil.move(folder / "other.onnx", folder / "tiny.onnx")
    verification = verify(folder / "r.json")
    assert "source" in states(verification, "not checked") and not verification.ok
    with pytest.raises(InvalidModelError, match="no file"):
        verify(folder / "r.json", folder / "none.onnx")


def test_a_record_that_names_another_model(folder):
    """The hash of another source in the record: the explained model is not that source's."""
    other = onnx.parser.parse_model(SOURCE.replace("2, -1, 1, 1}", "2, -1, 1, 1.5}"))
    onnx.save(other, folder / "tiny.onnx")
    here = onnxlrp.convert(folder / "tiny.onnx", "epsilon").interface.source_sha256
    verification = verify(tampered(folder, source=lambda one: {**one, "sha256": here}))
    assert {"explained model", "score", "relevance of 'x'"} <= {*states(verification)}


@pytest.fixture(params=["inside", "shared"])
def with_weights(request, tmp_path):
    """A source whose weights lie in a file beside it, which the explained model holds itself, or shares."""
    proto = onnx.parser.parse_model(SOURCE)
    for name, values in (("w", [[1, 0.5], [-1, 1], [2, 3]]), ("v", [[2, -1], [1, 1]])):
        index = next(i for i, one in enumerate(proto.graph.initializer) if one.name == name)
        del proto.graph.initializer[index]
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(values), name))
    path = tmp_path / "big.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="big.bin", size_threshold=0)
    explained = onnxlrp.convert(path, "epsilon")
    explained.save(tmp_path / "big.lrp.onnx", share_weights=request.param == "shared")
    onnxlrp.Explainer(tmp_path / "big.lrp.onnx")({"x": ROWS}, target=1).save(tmp_path / "r.json")
    return tmp_path


def test_other_weights_beside_the_same_model(with_weights):
    path = with_weights / "r.json"
    verification = verify(path, inputs={"x": ROWS})
    assert verification.ok, str(verification)
    assert "weights 'big.bin'" in states(verification, "holds")
    content = bytearray((with_weights / "big.bin").read_bytes())
    content[3] ^= 1
    (with_weights / "big.bin").write_bytes(bytes(content))
    assert states(verify(path, inputs={"x": ROWS})) == ["weights 'big.bin'"]
    (with_weights / "big.bin").unlink()
    assert states(verify(path, inputs={"x": ROWS})) == ["weights 'big.bin'"]


def test_another_input(folder):
    """Given to the call, or in the file that the record names: one number, its type or its shape."""
    for other in (ROWS + np.float32([[0, 0, 1e-3]]), ROWS.astype(np.float64), ROWS[:1]):
        if other.dtype == np.float64:
            with pytest.raises(InputError):
                verify(folder / "r.json", inputs={"x": other})
            continue
        assert states(verify(folder / "r.json", inputs={"x": other})) == ["input 'x'"]
    np.save(folder / "rows.npy", ROWS + 1)
    verification = verify(folder / "r.json")
    assert states(verification, "not checked") == ["inputs", "relevance"] and not verification.ok
    assert verify(folder / "r.json", run=False).ok


def test_another_composite(folder):
    """The record tells another composite or rule than the one that the numbers are of."""
    verification = verify(tampered(folder, composite=lambda one: "deep_taylor"))
    assert {"explained model", "relevance of 'x'", "numbers in the file"} <= {*states(verification)}
    folder_of(folder, ledger=True)
    verification = verify(tampered(folder, rules=lambda one: ["Gemm=Gamma(gamma=0.1)"]))
    assert "explained model" in states(verification)
    verification = verify(tampered(folder, options=lambda one: {}))
    assert "explained model" in states(verification) and "ledger" in states(verification)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("composite", "somebodys_own", "somebodys_own"),
        ("composite", "/etc/x.toml", "no composite that a record names"),
        ("rules", ["predicate=ZPlus"], "function of Python"),
        ("options", {"magic": 1}, "knows no option 'magic'"),
        ("options", {"inputs": "<Path>"}, "object of Python"),
    ],
)
def test_what_cannot_be_built(folder, name, value, words):
    verification = verify(tampered(folder, **{name: lambda one: value}))
    assert states(verification) == ["explained model"]
    assert words in next(one.sentence for one in verification.findings if one.state == "differs")


def changed_number(path: Path) -> None:
    """Change the last digit of one relevance in a file."""
    if path.suffix == ".json":
        entries = json.loads(path.read_bytes())
        entries["relevance"]["x"][0][0] *= 1 + 1e-7
        path.write_text(json.dumps(entries))
    elif path.suffix == ".csv":
        head, row, *rest = path.read_text().splitlines()
        cells = row.split(",")
        place = head.split(",").index("x[0]_relevance")
        cells[place] = str(np.nextafter(np.float32(cells[place]), np.float32(9e9)))
        path.write_text("\n".join([head, ",".join(cells), *rest, ""]))
    elif path.suffix == ".npz":
        with np.load(path) as archive:
            arrays = dict(archive)
        arrays["x_relevance"][0, 0] = np.nextafter(arrays["x_relevance"][0, 0], np.float32(9e9))
        np.savez(path, **arrays)
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content))


@pytest.mark.parametrize("suffix", [".json", ".csv", ".npz"])
def test_a_changed_number_in_the_file(folder, suffix):
    """The last bit of one number, in the file alone: by the file's hash, and by the numbers of a run."""
    path = folder / f"r{suffix}"
    changed_number(path)
    assert states(verify(path)) == ["file", "numbers in the file"]


def test_a_changed_picture(folder):
    changed_number(folder / "r.png")
    assert states(verify(folder / "r.png")) == ["file"]


@pytest.mark.parametrize("name", ["relevance", "outputs"])
def test_a_changed_hash_in_the_record(folder, name):
    def change(entries):
        ((key, one),) = entries.items()
        return {key: {**one, "sha256": "0" * 64}}

    subject = {"relevance": "relevance of 'x'", "outputs": "output 'y'"}[name]
    verification = verify(tampered(folder, **{name: change}))
    assert states(verification) == [subject]
    assert verify(folder / "r.json", tolerance=1e-6).ok


def test_changed_scores_and_sums_in_the_record(folder):
    path = tampered(folder, score=lambda one: {**one, "values": [9.0, *one["values"][1:]]})
    assert states(verify(path)) == ["score"]
    path = tampered(
        folder, relevance=lambda one: {"x": {**one["x"], "sum": 1e9}}, ledger=lambda one: {**one, "bias": 9}
    )
    assert states(verify(path)) == ["score", "relevance of 'x'", "ledger"]


@pytest.mark.parametrize("name", ["onnxlrp", "onnxruntime", "platform"])
def test_another_version_is_said(folder, name):
    """It is no failure as long as the numbers hold; they must then be near, not equal to the bit."""

    def change(one):
        return {**one, name: "0.0.1"}

    verification = verify(tampered(folder, versions=change))
    assert verification.ok and "versions" in states(verification, "note"), str(verification)
    assert "0.0.1" in next(one.sentence for one in verification.findings if one.subject == "versions")
    verification = verify(tampered(folder, composite=lambda one: "deep_taylor"))
    assert not verification.ok and "numbers in the file" in states(verification)


def test_another_version_writes_other_bytes(folder):
    """The hash of the explained model cannot hold then, and the numbers decide."""
    path = tampered(
        folder, versions=lambda one: {**one, "onnxlrp": "0.0.1"}, explained=lambda one: {**one, "sha256": "0" * 64}
    )
    verification = verify(path)
    assert verification.ok and "explained model" in states(verification, "note")


def test_near_numbers_of_another_version_hold(folder):
    """A hash of relevance that differs, on another version: the numbers in the file are within the tolerance."""
    path = tampered(
        folder,
        versions=lambda one: {**one, "onnxruntime": "0.0.1"},
        relevance=lambda one: {"x": {**one["x"], "sha256": "0" * 64}},
    )
    assert verify(path).ok
    assert states(verify(path, tolerance=0)) == ["relevance of 'x'"]


def test_another_target(folder):
    def other(one):
        return {**one, "values": [0, 0]}

    verification = verify(tampered(folder, target=other))
    assert {"target", "score", "relevance of 'x'"} <= {*states(verification)}
    verification = verify(
        tampered(folder, target=lambda one: {**one, "values": [1, 0]}, target_given=lambda one: False)
    )
    assert {"target", "score", "relevance of 'x'"} <= {*states(verification)}


def test_a_model_in_memory_and_rows_of_its_own(tmp_path):
    """A source that was an object is found by the hash of its serialisation, if its file holds the same."""
    proto = onnx.parser.parse_model(SOURCE)
    explainer = onnxlrp.Explainer(onnxlrp.convert(proto, "epsilon", target="weights"))
    explainer({"x": ROWS}, weights=[[1, -1]]).save(tmp_path / "r.npz")
    onnx.save(proto, tmp_path / "saved.onnx")
    assert verify(tmp_path / "r.npz", inputs={"x": ROWS}).ok
    verification = verify(tmp_path / "r.npz")
    assert states(verification, "not checked") == ["inputs", "relevance"]


def test_batches_are_run_as_batches(original, tmp_path):
    explainer = onnxlrp.Explainer(original / "tiny.lrp.onnx")
    rows = np.tile(ROWS, (3, 1))
    results = explainer.map({"x": rows}, batch_size=4, target=[1, 0] * 3, to=tmp_path / "folder")
    for part in ((0, 4), (4, 6)):
        assert verify(results.part(*part), original / "tiny.onnx", {"x": rows}).ok
    other = verify(results.part(4, 6), original / "tiny.onnx", {"x": rows + 1})
    assert states(other) == ["input 'x'"]


def test_a_date_and_a_comparison_with_a_reference(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    onnx.save(onnx.parser.parse_model(SOURCE), "tiny.onnx")
    explained = onnxlrp.convert("tiny.onnx", "deep_lift(baseline='input')")
    explanation = onnxlrp.Explainer(explained).compare({"x": ROWS}, {"x": ROWS[::-1]}, target=1)
    known = dataclasses.replace(explanation.circumstances, written="2026-01-02T03:04:05Z")
    dataclasses.replace(explanation, circumstances=known).save("r.json")
    verification = verify("r.json", inputs={"x": ROWS}, reference={"x": ROWS[::-1]})
    assert verification.ok and "date" in states(verification, "note")
    assert not verify("r.json", inputs={"x": ROWS}).ok
    assert recorder_of(explanation).record().references


@pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
def test_chosen_channels(tmp_path, monkeypatch):
    """Masks of the channels that relevance passed are in the record, those of single samples if they are short."""
    monkeypatch.chdir(tmp_path)
    onnx.save(network("float"), "net.onnx")
    explainer, x = onnxlrp.Explainer(onnxlrp.convert("net.onnx", "epsilon", concepts=["b"])), X.astype(np.float32)
    explainer(x, target=1, channels=[1, 4]).save("r.json")
    assert verify("r.json", inputs={"x": x}).ok
    explainer(x, target=1).save("plain.json")
    assert verify("plain.json", inputs={"x": x}).ok
    explainer(x, target=1, channels=np.eye(2, 6)).save("each.json")
    assert verify("each.json", inputs={"x": x}).ok
    monkeypatch.setattr("onnxlrp.array_hashes.SMALL", 5)
    explainer(x, target=1, channels=np.eye(2, 6)).save("each.json")
    verification = verify("each.json", inputs={"x": x})
    words = "the mask of 'b' of the call has more numbers than a record holds"
    assert not verification.ok and words in str(verification)


def test_rows_of_data_of_a_conversion(tmp_path):
    """They are in the record by their hash, and needed to build the model again."""
    model = onnx.parser.parse_model("""
    <ir_version: 10, opset_import: ["": 17, "ai.onnx.ml": 3]> svr (float[N, 2] x) => (float[N, 1] y)
    { y = ai.onnx.ml.SVMRegressor <kernel_type = "RBF", kernel_params = [0.5, 0.0, 3.0], n_supports = 2,
      support_vectors = [0.0, 1.0, 1.0, 0.0], coefficients = [1.0, -1.0], rho = [0.2]> (x) }
    """)
    onnx.save(model, tmp_path / "svr.onnx")
    rows = np.float32([[0, 1], [1, 3]])
    explained = onnxlrp.convert(tmp_path / "svr.onnx", background=rows)
    onnxlrp.Explainer(explained)({"x": rows}).save(tmp_path / "r.json")
    assert states(verify(tmp_path / "r.json", inputs={"x": rows}), "not checked")[0] == "explained model"
    assert verify(tmp_path / "r.json", inputs={"x": rows}, background=rows).ok
    assert "explained model" in states(verify(tmp_path / "r.json", inputs={"x": rows}, background=rows + 1))


def test_parts_of_a_long_run_have_a_record_each(original, tmp_path, monkeypatch):
    """One file of several parts, of which the first was written by a run that was interrupted."""
    pytest.importorskip("pyarrow")
    from onnxlrp.view import stored_table

    monkeypatch.setattr(stored_table, "_CELLS", 12)  # four samples are a part
    rows, path = np.tile(ROWS, (5, 1)) + np.arange(10, dtype=np.float32)[:, None], tmp_path / "r.parquet"
    explainer = onnxlrp.Explainer(original / "tiny.lrp.onnx")
    explainer.map({"x": rows}, batch_size=2, target=1, to=path)
    record = read_record(path)
    assert [one.samples for one in (record, *record.further)] == [(0, 4), (4, 8), (8, 10)]
    verification = verify(path, original / "tiny.onnx", {"x": rows})
    assert verification.ok, str(verification)
    assert sum(one.subject.endswith("numbers in the file") for one in verification.findings) == 3
    rows[9, 0] += 1
    assert states(verify(path, original / "tiny.onnx", {"x": rows})) == ["samples 8 to 9, input 'x'"]


def test_more_rows_than_the_record_is_of(folder):
    path = folder / "r.csv"
    path.write_text(path.read_text() + path.read_text().splitlines()[-1] + "\n")
    assert states(verify(path)) == ["file", "numbers in the file"]


def test_channels_that_relevance_passed(tmp_path):
    """They are in the record, or another relevance would be computed."""
    onnx.save(onnx.parser.parse_model(SOURCE), tmp_path / "tiny.onnx")
    explainer = onnxlrp.Explainer(onnxlrp.convert(tmp_path / "tiny.onnx", "epsilon", concepts=["h"]))
    explainer({"x": ROWS}, target=1, channels=[0]).save(tmp_path / "r.json")
    masked = np.float32([[1, 0.5], [0, 1]])
    parts = explainer.map({"x": ROWS}, 1, target=1, channels=masked, to=tmp_path / "parts")
    assert verify(tmp_path / "r.json", inputs={"x": ROWS}).ok
    for part in ((0, 1), (1, 2)):
        assert verify(parts.part(*part), tmp_path / "tiny.onnx", {"x": ROWS}).ok
    text, _ = out_of_json((tmp_path / "r.json").read_bytes())
    assert json.loads(text)["masks"]["h"]["values"] == [1, 0]
