from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from onnxlrp.errors import InputError
from onnxlrp.runtime import Explanation, Ledger
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.text import Tokens
from onnxlrp.view.explanation_json import plain
from onnxlrp.view.saving import Material, check_inputs, save
from onnxlrp.view.summary import summarise


def explanation(relevance, **changes) -> Explanation:
    fields = {
        "relevance": relevance,
        "outputs": {"logits": np.array([[1.0, 2.0]], np.float32)},
        "relevance_at": {},
        "target": np.array([1]),
        "score": np.array([2.0], np.float32),
        "ledger": None,
    }
    return Explanation(**{**fields, **changes})


TABLE = np.array([[0.5, -1.5, 3.0]], np.float32)


def write(path, done, inputs=None, **options):
    save(Material(done, inputs or {}, **options), path)


def test_npz_npy_json_csv(tmp_path):
    ledger = Ledger(("step",), np.ones((1, 5), np.float32), (False,))
    done = explanation({"x": TABLE}, ledger=ledger, relevance_at={"inner": TABLE})
    write(tmp_path / "r.npz", done)
    with np.load(tmp_path / "r.npz") as archive:
        assert set(archive.files) == {"x_relevance", "inner_relevance", "logits", "target", "score", "relevance_ledger"}
        np.testing.assert_array_equal(archive["x_relevance"], TABLE)
    write(tmp_path / "r.npy", done)
    np.testing.assert_array_equal(np.load(tmp_path / "r.npy"), TABLE)
    write(tmp_path / "r.json", done)
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["relevance"]["x"] == TABLE.tolist() and content["ledger"][0]["passed_on"] == 1
    write(tmp_path / "r.csv", dataclasses.replace(done, columns={"x": ("age", "mass", "town")}))
    head, row = (tmp_path / "r.csv").read_text().splitlines()
    assert head == "target,score,total_relevance,age_relevance,mass_relevance,town_relevance"
    assert row == "1,2.0,2.0,0.5,-1.5,3.0"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_every_table_has_base_value_raw_score_and_column_names(tmp_path):
    """The values of 0.5, −1.5 and 3 and the base value 0.25 make 2.25, of which the score 2 is some function."""
    sums = {"base_value": np.array([0.25]), "raw_score": np.array([2.25])}
    done = explanation({"x": TABLE}, columns={"x": ("age", "base_value", "town")}, **sums)
    write(tmp_path / "r.csv", done, inputs={"x": TABLE})
    head, row = (tmp_path / "r.csv").read_text().splitlines()
    assert head.startswith("target,score,base_value_1,total_relevance,raw_score,age,age_relevance,base_value,")
    assert row == "1,2.0,0.25,2.0,2.25,0.5,0.5,-1.5,-1.5,3.0,3.0"
    write(tmp_path / "r.json", done)
    content = json.loads((tmp_path / "r.json").read_text())
    assert (content["base_value"], content["raw_score"]) == ([0.25], [2.25])
    assert content["columns"] == {"x": ["age", "base_value", "town"]}
    write(tmp_path / "r.npz", done)
    with np.load(tmp_path / "r.npz") as archive:
        assert archive["base_value"] == 0.25 and archive["raw_score"] == 2.25
        assert archive["x_columns"].tolist() == ["age", "base_value", "town"]
    (sample,) = summarise(done, {"x": TABLE}, top=2)
    assert (sample.base_value, sample.raw_score, sample.adds_up_to, sample.rest) == (0.25, 2.25, "raw score", 0.5)


def test_csv_of_several_inputs(tmp_path):
    write(tmp_path / "r.csv", explanation({"age": TABLE[:, :1], "rest": TABLE[:, 1:]}))
    assert (
        (tmp_path / "r.csv").read_text().splitlines()[0].endswith(",age_relevance,rest[0]_relevance,rest[1]_relevance")
    )


@pytest.mark.parametrize(
    ("name", "relevance"),
    [
        ("r.npy", {"x": TABLE, "y": TABLE}),
        ("r.csv", {"x": np.zeros((2, 2)), "y": np.zeros((3, 2))}),
        ("r.gif", {"x": TABLE}),
    ],
)
def test_what_does_not_fit_a_format_writes_nothing(tmp_path, name, relevance):
    with pytest.raises(InputError):
        write(tmp_path / name, explanation(relevance))
    assert list(tmp_path.iterdir()) == []


def test_text_as_html_and_as_json(tmp_path):
    row = Tokens((7, 8, 9), ("the", "cat", "[PAD]"), (True, True, False))
    done = explanation({"x": TABLE}, tokens={"x": [row]})
    write(tmp_path / "r.html", done, samples=summarise(done, {}), title="the title")
    content = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<title>the title</title>" in content and ">cat</span>" in content and "[PAD]" not in content
    write(tmp_path / "r.json", done)
    assert json.loads((tmp_path / "r.json").read_text())["tokens"] == {"x": [["the", "cat", "[PAD]"]]}


@pytest.mark.skipif(sys.platform == "win32", reason="no limits of files there")
@pytest.mark.parametrize("suffix", ["npy", "npz", "json", "csv"])
def test_a_full_disk_is_told_and_the_old_file_stays(suffix, tmp_path):
    """A limit on the size of files stands for it; numpy itself writes half an array without a word."""
    import resource

    path, limits = tmp_path / f"out.{suffix}", resource.getrlimit(resource.RLIMIT_FSIZE)
    path.write_text("before")
    ten = {"target": np.zeros(10, np.int64), "score": np.ones(10)}
    done = explanation({"x": np.random.default_rng(0).random((10, 5)).astype(np.float32)}, **ten)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
    try:
        with pytest.raises(OSError):
            write(path, done)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def test_plain_has_no_nan():
    content = plain(
        {"a": np.array([1.0, np.nan]), "b": [{1: np.float32(2)}], "c": np.array(["x"], object), "d": np.inf}
    )
    assert json.loads(json.dumps(content, allow_nan=False)) == {
        "a": [1.0, None],
        "b": [{"1": 2.0}],
        "c": ["x"],
        "d": None,
    }


def test_summary_names_the_features_that_matter():
    done = explanation({"x": TABLE, "age": np.array([[9.0]])}, columns={"x": ("a", "b", "c")})
    (sample,) = summarise(done, {"x": TABLE * 2, "age": np.array([[31]])}, ["no", "yes"], top=3)
    assert (sample.target, sample.label, sample.score) == (1, "yes", 2.0)
    assert sample.relevance == {"x": 2.0, "age": 9.0}
    assert [(one.name, one.value, one.relevance) for one in sample.features] == [
        ("age", 31.0, 9.0),
        ("c", 6.0, 3.0),
        ("b", -3.0, -1.5),
    ]


def test_elements_are_named_by_their_indices():
    """A target of several indices is one element of the output, not several targets."""
    one = explanation({"x": TABLE}, target=np.array([[3, 17]]), score=np.array([2.0]))
    (sample,) = summarise(one, {"x": TABLE}, labels=["a", "b", "c", "d"])
    assert (sample.target, sample.label, sample.score) == ((3, 17), "", 2.0)
    two = explanation(
        {"x": np.stack([TABLE, -TABLE], 1)}, target=np.array([[[3, 17], [0, 1]]]), score=np.array([[2.0, 1.0]])
    )
    assert [sample.target for sample in summarise(two, {"x": TABLE})] == [(3, 17), (0, 1)]


def test_summary_of_pictures_targets_and_strings():
    picture = explanation({"image": np.ones((1, 3, 2, 2))})
    assert summarise(picture, {"image": np.ones((1, 3, 2, 2))})[0].features == ()
    many = explanation({"x": np.stack([TABLE, -TABLE], 1)}, target=np.array([[1, 0]]), score=np.array([[2.0, 1.0]]))
    first, second = summarise(many, {"x": TABLE})
    assert (first.target, second.target) == (1, 0) and second.relevance == {"x": -2.0}
    words = explanation({"town": np.array([[1.0]])})
    (sample,) = summarise(words, {"town": np.array([["Berlin"]], object)})
    assert sample.features[0].value == "Berlin"
    weighted = explanation({"x": TABLE}, target=None, score=None)
    assert summarise(weighted, {"x": TABLE})[0].target is None


@pytest.mark.parametrize(
    ("shapes", "refused"),
    [([("N", 3, 8, 8)], True), ([("N", 3, 8, 8), ("N", 4, 3, 8, 8)], False), ([None], False)],
)
def test_a_gif_for_a_model_without_sequences_is_refused_before_it_runs(shapes, refused):
    specs = {f"x{i}": TensorSpec(f"x{i}", np.dtype("float32"), shape) for i, shape in enumerate(shapes)}
    with pytest.raises(InputError, match="sequence of pictures") if refused else contextlib.nullcontext():
        check_inputs(Path("moving.gif"), tuple(specs), specs)
