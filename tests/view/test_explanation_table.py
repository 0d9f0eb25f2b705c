"""The table of an explanation: what a row says, and that what it shows adds up."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest

from onnxlrp.errors import InputError, OnnxLrpError
from onnxlrp.runtime.legend import Legend
from onnxlrp.view.explanation_table import table_of
from onnxlrp.view.figures.scene import scene_of
from tests.view.explanations import INTERFACE, churn, image, review

ABOUT = ["customer", "target", "label", "score", "base_value", "total_relevance", "raw_score"]


def test_features_side_by_side_with_value_and_relevance():
    table = table_of(churn())
    features = ["age", "age_relevance", "debt", "debt_relevance", "contract", "contract_relevance"]
    assert list(table) == [*ABOUT, *features]
    assert table["label"].tolist() == ["leaves", "stays"] and table["contract"].tolist() == ["month", "year"]
    np.testing.assert_allclose(table["base_value"] + table["total_relevance"], table["raw_score"], atol=1e-6)


def test_names_of_classes_that_a_user_gives_count():
    named = churn(legend=Legend(class_names=("loyal", "gone")))
    assert table_of(named)["label"].tolist() == ["gone", "loyal"]


def test_labels_that_are_numbers_stay_numbers():
    done = churn(legend=Legend(class_names=("7", "9")))
    done = dataclasses.replace(done, interface=dataclasses.replace(done.interface, labels=(7, 9)))
    assert table_of(done)["label"].tolist() == [9, 7]


def test_a_feature_keeps_its_name_and_what_is_beside_it_gets_another():
    done = churn()
    done = dataclasses.replace(
        done, relevance={"score": done.relevance["age"]}, inputs={"score": done.inputs["age"]}, ids={}
    )
    table = table_of(done)
    assert table["score"].tolist() == [52, 19.5] and np.allclose(table["score_1"], [0.4, 0.3])


def test_one_input_of_many_columns_and_columns_of_one_name():
    relevance = np.float32([[1, 2], [3, 4]])
    one = churn(relevance={"x": relevance}, inputs={"x": relevance * 10}, columns={"x": ("a", "b")}, ids={})
    assert list(table_of(one))[-4:] == ["a", "a_relevance", "b", "b_relevance"]
    two = dataclasses.replace(
        one, relevance={"x": relevance, "y": relevance}, columns={"x": ("a", "b"), "y": ("a", "c")}
    )
    names = list(table_of(two))
    assert "x[a]_relevance" in names and "y[a]_relevance" in names and "c_relevance" in names and "c" not in names


def test_targets_have_rows_of_their_own():
    relevance = {name: np.stack([value, -value], 1) for name, value in churn().relevance.items()}
    pairs = {"target": np.array([[0, 1], [0, 1]]), "score": np.ones((2, 2)), "base_value": np.zeros((2, 2))}
    interface = dataclasses.replace(churn().interface, targets=2)
    table = table_of(churn(relevance=relevance, interface=interface, raw_score=None, **pairs))
    assert table["customer"].tolist() == ["C-1", "C-1", "C-2", "C-2"] and table["sample"].tolist() == [0, 0, 1, 1]
    assert table["target"].tolist() == [0, 1, 0, 1] and table["age"].tolist() == [52, 52, 19.5, 19.5]
    assert table["age_relevance"].tolist() == [0.5, -0.5, 1, -1]


def test_tokens_are_rows_without_padding():
    table = table_of(review())
    assert table["token"].tolist() == ["good", "film", "bad", "film", "!"]
    assert table["position"].tolist() == [0, 1, 0, 1, 2] and table["sample"].tolist() == [0, 0, 1, 1, 1]
    assert table["relevance"].tolist() == [2, 1, -3, 1, 0.5] and table["value"].tolist() == [1, 2, 3, 2, 4]


def test_entries_of_arrays_are_rows_with_their_place():
    done = image()
    table = table_of(done)
    for row in range(8):
        place = tuple(int(table[name][row]) for name in ("sample", "axis_1", "axis_2", "axis_3"))
        assert table["value"][row] == done.inputs["x"][place] and table["relevance"][row] == done.relevance["x"][place]


def test_inputs_of_several_ranks_are_padded_and_values_keep_to_one_type():
    done = image()
    words = np.array(["a", "b"], object)
    both = dataclasses.replace(
        done,
        relevance={**done.relevance, "word": np.float32([1, 2])},
        inputs={**done.inputs, "word": words},
    )
    table = table_of(both)
    assert table["axis_1"].tolist()[-2:] == [-1, -1] and table["value"].tolist()[-2:] == ["a", "b"]
    assert table["value"].tolist()[0] == "0.0"


def test_a_single_sample_without_a_batch_axis():
    interface = dataclasses.replace(INTERFACE, batch_axis=None)
    one = churn(relevance={"x": np.float32([1, 2])}, inputs={"x": np.float32([3, 4])}, interface=interface)
    one = dataclasses.replace(one, target=np.array([0]), score=np.ones(1), base_value=None, raw_score=None, ids={})
    table = table_of(one)
    assert table["x[0]"].tolist() == [3] and table["x[1]_relevance"].tolist() == [2]


def test_elements_are_named_by_their_indices():
    table = table_of(dataclasses.replace(image(), target=np.array([[3, 17], [0, 1]])))
    assert table["target"].tolist() == ["3, 17"] * 4 + ["0, 1"] * 4


def test_what_counts_no_samples_is_refused():
    with pytest.raises(InputError, match=r"relevance of 'x' is \[3, 1\], which does not count 2 samples"):
        table_of(churn(relevance={"x": np.zeros((3, 1))}))


def test_a_file_of_it(tmp_path):
    churn().save(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["customer"] == "C-1" and rows[1]["contract"] == "year" and rows[0]["age_relevance"] == "0.5"


def test_missing_libraries_are_named(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    monkeypatch.setitem(__import__("sys").modules, "shap", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "xarray", None)
    for call, name in (
        (churn().to_frame, "pandas"),
        (churn().to_shap, "shap"),
        (churn().to_xarray, "xarray"),
        (lambda: churn().save(tmp_path / "x.parquet"), "pyarrow"),
    ):
        with pytest.raises(OnnxLrpError, match=f"pip install {name}$"):
            call()
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match=r"did you mean 'polars'"):
        churn().to_frame("polar")
    with pytest.raises(InputError, match=r"written as .csv, .json"):
        churn().save(tmp_path / "x.xls")


def test_identifiers_keep_their_names():
    """A table may call its own columns as explanations do."""
    one = churn(ids={"target": ["t", "u"], "score": ["s", "r"], "label": ["k", "l"], "age": ["a", "b"]})
    table = table_of(one)
    assert table["target"].tolist() == ["t", "u"] and table["target_1"].tolist() == [1, 0]
    assert table["score"].tolist() == ["s", "r"] and table["score_1"].tolist() == pytest.approx([0.4, 0.3])
    assert table["label"].tolist() == ["k", "l"] and table["label_1"].tolist() == ["leaves", "stays"]
    assert table["age"].tolist() == [52, 19.5] and table["age_1"].tolist() == ["a", "b"]


def test_identifiers_in_an_archive(tmp_path):
    churn(ids={"target": [7, 8], "customer": ["a", "b"]}).save(tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz") as arrays:
        assert arrays["target"].tolist() == [1, 0] and arrays["target_1"].tolist() == [7, 8]
        assert arrays["customer"].tolist() == ["a", "b"]


def test_every_feature_has_a_column():
    names = ("a", "a_relevance", "a_relevance_1", "b", "b")
    one = churn(relevance={"x": np.float32([[1, 2, 3, 4, 5]])}, inputs={"x": np.float32([[6, 7, 8, 9, 10]])})
    numbers = {"target": np.array([0]), "score": np.ones(1), "base_value": None, "raw_score": None, "ids": {}}
    table = table_of(dataclasses.replace(one, columns={"x": names}, **numbers))
    cells = [float(column[0]) for name, column in table.items() if name not in ("target", "label", "score")]
    assert sorted(cells) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15]
    assert table["x[4]"] == 10 and table["x[4]_relevance"] == 5


def test_no_samples(tmp_path):
    columns = {name: np.zeros((0, 1), np.float32) for name in ("age", "debt", "contract")}
    numbers = {"target": np.zeros(0, np.int64), "score": np.zeros(0), "base_value": None, "raw_score": None}
    none = churn(relevance=columns, inputs=columns, ids={}, **numbers)
    assert len(table_of(none)["age_relevance"]) == 0 and none.reasons() == []
    with pytest.raises(InputError, match="holds no sample"):
        none.save(tmp_path / "x.png")


def test_several_targets_of_a_model_without_a_batch_axis():
    """Its relevance has the targets along axis 1."""
    changes = {"target": np.array([[1, 0]]), "score": np.float32([[6, 15]]), "base_value": None, "raw_score": None}
    one = churn(relevance={"x": np.float32([[1, 4], [2, 5], [3, 6]])}, inputs={"x": np.float32([7, 8, 9])}, **changes)
    face = dataclasses.replace(one.interface, targets=2, batch_axis=None, score_is_output=True)
    one = dataclasses.replace(one, ids={}, interface=face)
    table = table_of(one)
    assert table["total_relevance"].tolist() == [6, 15] and table["x[1]_relevance"].tolist() == [2, 5]
    assert [[reason.relevance for reason in row] for row in one.reasons()] == [[3, 2, 1], [6, 5, 4]]
    assert "class 1 (leaves), score 6, Σ relevance 6" in str(one) and "score 15, Σ relevance 15" in str(one)
    assert [scene_of(one).relevance("x", 0, k).tolist() for k in (0, 1)] == [[1, 2, 3], [4, 5, 6]]
