"""Tables, figures, reasons and files of relevance that was reduced."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest

import onnxlrp
from onnxlrp.errors import InputError
from onnxlrp.runtime.text import Tokens
from onnxlrp.view.explanation_table import table_of
from onnxlrp.view.figures.scene import scene_of
from onnxlrp.view.summary import summarise
from tests.reduced import model, sample

pytestmark = pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")
SIZES = {"N": 2, "H": 20, "W": 30, "D": 4, "T": 12}
COLUMNS = tuple("abcdefg")


def explained(name, how, targets=1):
    explainer = onnxlrp.Explainer(onnxlrp.convert(model(name), "epsilon", reduce=how, targets=targets))
    return explainer(sample(name, SIZES), None if targets == 1 else [2, 0])


def customers(how="top=3", targets=1):
    """Rows of a table whose columns have names."""
    return dataclasses.replace(explained("columns", how, targets), columns={"x": COLUMNS})


@pytest.mark.parametrize("targets", [1, 2])
def test_a_table_of_the_largest_by_the_names_of_their_columns(targets):
    explanation = customers(targets=targets)
    table = table_of(explanation)
    assert "total_relevance" not in table
    assert table["rank"].tolist() == [1, 2, 3] * 2 * targets
    places = explanation.relevance_indices["x"].reshape(-1)
    assert table["index"].tolist() == places.tolist()
    assert table["feature"].tolist() == [COLUMNS[place] for place in places]
    rows = np.repeat(np.arange(2), 3 * targets)
    assert np.array_equal(table["value"], sample("columns", SIZES)[rows, places])
    assert np.array_equal(table["relevance"], explanation.relevance["x"].reshape(-1))


def test_pixels_by_their_place():
    explanation = explained("NCHW", "top=5")
    table, x = table_of(explanation), sample("NCHW", SIZES)
    for row in range(10):
        place = tuple(int(table[axis][row]) for axis in ("sample", "axis_1", "axis_2", "axis_3"))
        assert x[place] == table["value"][row]


def test_cells_by_their_place():
    explanation = explained("NCHW", "grid=4+top=5")
    table = table_of(explanation)
    assert "value" not in table
    assert "axis_3" not in table
    assert (table["axis_1"] * 4 + table["axis_2"]).tolist() == table["index"].tolist()
    grid = table_of(explained("NCHW", "grid=4"))
    assert len(grid["relevance"]) == 2 * 4 * 4
    assert "value" not in grid
    assert np.isclose(grid["relevance"][:16].sum(), grid["total_relevance"][0], rtol=1e-4)


def test_missing_elements_are_no_rows():
    assert len(table_of(explained("ids", "top=40"))["rank"]) == 2 * 12


def test_tokens():
    words = [Tokens(tuple(range(12)), tuple(f"w{n}" for n in range(12)), (True,) * 12)] * 2
    explanation = dataclasses.replace(explained("ids", "top=3"), tokens={"x": words})
    table = table_of(explanation)
    assert table["token"].tolist() == [f"w{n}" for n in explanation.relevance_indices["x"].reshape(-1)]
    said = {reason.column for reason in explanation.reasons(top=9)[0]}
    assert said <= set(table["token"][:3].tolist())
    assert str(explanation)


def test_reasons_are_the_columns_that_were_kept():
    explanation, full = customers(), dataclasses.replace(explained("columns", "float16"), columns={"x": COLUMNS})
    names = [[COLUMNS[place] for place in row] for row in explanation.relevance_indices["x"]]
    for kept, reasons, whole in zip(names, explanation.reasons(top=7), full.reasons(top=7), strict=True):
        assert [one.column for one in reasons] == [one.column for one in whole if one.column in kept]


def test_the_text_says_that_the_sum_is_of_what_was_kept():
    assert "Σ kept relevance" in str(customers())
    assert "Σ kept relevance" not in str(customers("float16"))
    sums = [one.relevance["x"] for one in summarise(customers(), {})]
    assert np.allclose(sums, customers().relevance["x"].sum(axis=1), rtol=1e-5)


def test_files(tmp_path):
    explanation = customers()
    for suffix in ("csv", "json", "npz"):
        explanation.save(tmp_path / f"one.{suffix}")
    with (tmp_path / "one.csv").open(encoding="utf-8") as file:
        assert [row["feature"] for row in csv.DictReader(file)] == table_of(explanation)["feature"].tolist()
    known = json.loads((tmp_path / "one.json").read_text(encoding="utf-8"))
    assert known["relevance_indices"]["x"] == explanation.relevance_indices["x"].tolist()
    with np.load(tmp_path / "one.npz") as arrays:
        assert np.array_equal(arrays["x_relevance_indices"], explanation.relevance_indices["x"])


def test_one_npy_cannot_hold_values_and_places(tmp_path):
    from onnxlrp.view.saving import Material, save

    with pytest.raises(InputError, match=r"write \.npz"):
        save(Material(customers()), tmp_path / "one.npy")


def test_several_inputs_of_which_one_was_cut():
    whole = explained("columns", "top=3")
    other = dataclasses.replace(
        whole,
        relevance={**whole.relevance, "z": np.ones((2, 2), np.float32)},
        interface=dataclasses.replace(whole.interface, relevance={"x": "x_relevance", "z": "z_relevance"}),
    )
    table = table_of(other)
    assert table["rank"].tolist() == [1, 2, 3, 1, 2, 3, -1, -1, -1, -1]
    assert table["index"].tolist()[6:] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("name", "how"),
    [("NCHW", "channels"), ("NCHW", "grid=4"), ("NHWC", "grid=4+top=3"), ("NCHW", "top=3"), ("NCT", "grid=4"),
     ("NTC", "channels"), ("NCDHW", "grid=3"), ("NHW", "grid=5"), ("columns", "top=2"), ("ids", "grid=3")],
)  # fmt: skip
@pytest.mark.parametrize("targets", [1, 2])
def test_figures(name, how, targets):
    pytest.importorskip("matplotlib")
    explanation = explained(name, how, targets)
    figure = explanation.plot()
    caption = figure.get_supxlabel().replace("\n", " ")
    assert ("the 3 largest alone" in caption) == ("top=3" in how)
    assert ("added up in 4 cells" in caption) == ("grid=4" in how)
    assert ("add up to the score" not in caption) or "top" not in how


def test_a_grid_is_drawn_at_the_size_of_the_picture():
    explanation = explained("NCHW", "grid=4")
    relevance = scene_of(explanation).relevance("x", 1)
    assert relevance.shape == (1, 20, 30)
    cell = relevance[0, 5:10, 7:15]
    assert np.allclose(cell, cell[0, 0])
    assert np.isclose(cell.sum(), explanation.relevance["x"][1, 1, 1], rtol=1e-5)


@pytest.mark.slow
def test_shap_is_refused_where_sums_are_no_scores():
    pytest.importorskip("shap")
    with pytest.raises(InputError, match="keeps the largest relevance only"):
        customers().to_shap()


def test_data_frames():
    pytest.importorskip("pandas")
    frame = customers().to_frame()
    assert [*frame.columns[-5:]] == ["index", "axis_1", "feature", "value", "relevance"]
