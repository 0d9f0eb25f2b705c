"""Rankings of features in every kind of results, and their drift."""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxlrp
from onnxlrp.errors import InputError
from onnxlrp.records import audit
from onnxlrp.records.ranking_drift import ranking_score
from tests.runtime.recorded import SOURCE, folder_of
from tests.view.explanations import churn, image, review

TRAINING = {"SAT score": 0.7, "GPA": 0.5, "Class rank": 0.05}


def test_the_score_by_hand():
    """The example of the source: the ranking has completely reversed."""
    live = {"SAT score": 0.1, "GPA": 0.2, "Class rank": 0.7}
    by_hand = (0.05 / np.log2(2) + 0.5 / np.log2(3) + 0.7 / np.log2(4)) / (
        0.7 / np.log2(2) + 0.5 / np.log2(3) + 0.05 / np.log2(4)
    )
    assert ranking_score(live, TRAINING) == pytest.approx(by_hand) == pytest.approx(0.6876, abs=1e-4)
    assert ranking_score(TRAINING, TRAINING) == ranking_score({"SAT score": 9.0, "GPA": 1.0}, TRAINING) == 1
    with pytest.raises(InputError, match="ranks nothing"):
        ranking_score(TRAINING, dict.fromkeys(TRAINING, 0.0))


def test_the_score_is_that_of_scikit_learn():
    """Its ndcg_score with the baseline as true relevance and the current attributions as scores."""
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    base, now = rng.random(30), rng.random(30)
    names = [f"f{index}" for index in range(30)]
    ours = ranking_score(dict(zip(names, now, strict=True)), dict(zip(names, base, strict=True)))
    assert ours == pytest.approx(metrics.ndcg_score(base[None], now[None]))


@pytest.fixture(scope="module")
def explainer(tmp_path_factory):
    return onnxlrp.Explainer(folder_of(tmp_path_factory.mktemp("audit")) / "tiny.lrp.onnx")


@pytest.mark.parametrize("name", ["r.csv", "r.npz", "r.json", "r.parquet", "folder"])
def test_every_kind_of_results_gives_the_same_ranking(explainer, tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    rows = np.random.default_rng(2).normal(size=(7, 3)).astype(np.float32)
    explanation = dataclasses.replace(explainer({"x": rows}, target=0), columns={"x": ("age", "bill", "debt")})
    path = tmp_path / name
    if name == "folder":
        explainer.map({"x": rows}, batch_size=3, target=0, to=path)
    else:
        explanation.save(path)
    done = audit(path)
    sizes = np.abs(explanation.relevance["x"]).mean(0)
    names = [f"x[{index}]" for index in range(3)] if name == "folder" else ["age", "bill", "debt"]
    assert [one.name for one in done.features] == [names[index] for index in np.argsort(-sizes)]
    np.testing.assert_allclose([one.mean_size for one in done.features], np.sort(sizes)[::-1], rtol=1e-6)
    assert (done.rows, done.score, done.drifted) == (7, None, False)


def test_a_folder_of_files_and_targets(tmp_path):
    """K targets count as K explanations; records beside tables are no tables."""
    onnx.save(onnx.parser.parse_model(SOURCE), tmp_path / "tiny.onnx")
    explainer = onnxlrp.Explainer(onnxlrp.convert(tmp_path / "tiny.onnx", "epsilon", targets=2))
    (tmp_path / "both").mkdir()
    for index, suffix in enumerate((".npz", ".csv")):
        explainer({"x": np.float32([[1, 2, 3 + index]])}, target=[0, 1]).save(tmp_path / "both" / f"r{suffix}")
    done = audit(tmp_path / "both")
    assert done.rows == 4 and {one.name for one in done.features} == {"x[0]", "x[1]", "x[2]"}


def test_several_inputs_and_results_without_records(tmp_path):
    """Tables that were put together by hand: an input a column, pictures by their pixels, texts by their places."""
    churn().save(tmp_path / "r.csv")
    done = audit(tmp_path / "r.csv")
    assert [(one.name, one.mean_size) for one in done.features] == [("contract", 1.125), ("age", 0.75), ("debt", 0.75)]
    image().save(tmp_path / "picture.csv")
    assert audit(tmp_path / "picture.csv").features[0].name == "x[0,1,1]"
    review().save(tmp_path / "text.csv")
    assert audit(tmp_path / "text.csv").features[0].name == "ids[0]"


def test_what_cannot_be_compared_is_said(explainer, tmp_path):
    rows = np.float32([[1, 2, 3]])
    explainer({"x": rows}).save(tmp_path / "one.json")
    folder_of(tmp_path, "deep_taylor")
    onnxlrp.Explainer(tmp_path / "tiny.lrp.onnx")({"x": rows}).save(tmp_path / "two.json")
    done = audit(tmp_path / "one.json", tmp_path / "two.json")
    assert done.notes == ("the explanations differ in their composite: epsilon, deep_taylor",)
    churn().save(tmp_path / "other.csv")
    with pytest.raises(InputError, match="no feature in common"):
        audit(tmp_path / "one.json", tmp_path / "other.csv")


def test_results_that_are_none(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    (tmp_path / "broken.npz").write_text("no archive")
    (tmp_path / "broken.json").write_text("[1]")
    np.savez(tmp_path / "large.npz", x_relevance=np.zeros((2, 10_001), np.float32))
    np.savez(tmp_path / "nan.npz", x_relevance=np.full((2, 2), np.nan, np.float32))
    for name, words in (
        ("none", "no file or folder"),
        ("empty", "holds no results"),
        ("table.csv", "no column of relevance"),
        ("broken.npz", "cannot be read|can be read"),
        ("broken.json", "can be read"),
        ("large.npz", "too many to rank"),
        ("nan.npz", "NaN"),
    ):
        with pytest.raises(InputError, match=words):
            audit(tmp_path / name)
    with pytest.raises(InputError, match="from 0 to 1"):
        audit(tmp_path / "nan.npz", bound=3)
