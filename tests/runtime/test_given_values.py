"""Values of a call as users have them, for models of tables, of pictures and of texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.parser
import pytest
from PIL import Image

import onnxlrp
from onnxlrp.errors import InputError
from onnxlrp.runtime.files import PREPROCESS
from onnxlrp.runtime.given_values import by_name, load_values
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.matched_columns import takes_a_table

NUMBER, WORD = np.dtype(np.float32), np.dtype(object)


def specs(**shapes) -> dict[str, TensorSpec]:
    """Specifications by name; a pair has a type besides the shape."""
    pairs = {name: one if isinstance(one[0], np.dtype) else (NUMBER, one) for name, one in shapes.items()}
    return {name: TensorSpec(name, dtype, shape) for name, (dtype, shape) in pairs.items()}


CHURN = specs(age=("N", 1), income=("N", 1), contract=(WORD, ("N", 1)), visits=(np.dtype(np.int64), ("N",)))
ROW = {"age": 52, "income": 3000.5, "contract": "month", "visits": 3}
WIDE = specs(x=("N", 3))
KNOWN = {"x": ("age", "debt", "years")}


def read(value, wanted=CHURN, known=None, ids=()):
    return by_name(value, wanted, known or {}, ids)


def check_rows(given, rows=1):
    assert list(given.inputs) == ["age", "income", "contract", "visits"]
    assert given.inputs["age"].dtype == NUMBER and given.inputs["age"].shape == (rows, 1)
    assert given.inputs["contract"].tolist() == [["month"]] * rows
    assert given.inputs["visits"].tolist() == [3] * rows


@pytest.mark.parametrize(
    "value",
    [
        ROW,
        dict(reversed(ROW.items())),
        {name: [value] for name, value in ROW.items()},
        {name: np.array([value]) for name, value in ROW.items()},
        [ROW],
        np.array([(52, 3000.5, "month", 3)], [("age", "f8"), ("income", "f4"), ("contract", "O"), ("visits", "i4")]),
    ],
)
def test_a_row_in_every_form(value):
    check_rows(read(value))


def test_an_archive_with_an_array_for_each_input(tmp_path):
    path, two = tmp_path / "both.npz", specs(left=("N", 2), right=("N", 3))
    np.savez(path, left=np.ones((4, 2), np.float32), right=np.zeros((4, 3), np.float32), labels=np.arange(4))
    for value in (path, str(path)):
        given = load_values(read(value, two), two, PREPROCESS["auto"])
        assert {name: array.shape for name, array in given.inputs.items()} == {"left": (4, 2), "right": (4, 3)}
        assert given.files["left"] == given.files["right"]
    text = specs(input_ids=(np.dtype(np.int64), ("N", "T")), attention_mask=(np.dtype(np.int64), ("N", "T")))
    np.savez(path, input_ids=np.ones((1, 3), np.int64), attention_mask=np.array([[1, 1, 0]]))
    given = load_values(read(path, text), text, PREPROCESS["auto"])
    assert given.inputs["attention_mask"].tolist() == [[1, 1, 0]]


def test_a_file_that_fits_no_input_is_named(tmp_path):
    two = specs(left=("N", 2, 2), right=("N", 3, 2))
    np.savez(tmp_path / "other.npz", x=np.ones(3))
    with pytest.raises(InputError, match=r"other\.npz' does not say which input"):
        read(tmp_path / "other.npz", two)
    with pytest.raises(InputError, match=r"there is no file '.*none\.npz'"):
        read(tmp_path / "none.npz", two)


def test_several_rows_as_a_list():
    check_rows(read([ROW, dict(reversed(ROW.items()))]), 2)
    with pytest.raises(InputError, match="differ in their names"):
        read([ROW, {"age": 1}])


def test_a_file_is_matched_by_its_header(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("customer;contract;visits;income;age\nC-1;month;3;3000.5;52\nC-2;month;3;;51\n")
    for value in (path, str(path)):
        given = read(value, ids="customer")
        check_rows(given, 2)
        assert given.ids["customer"].tolist() == ["C-1", "C-2"]
        assert np.isnan(given.inputs["income"][1, 0]) and given.inputs["income"][0, 0] == 3000.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"agee": 1}, r"has column 'agee' that no input takes: leave it out, or name it as an identifier"),
        ({"age": None, "Age": 1}, r"lacks column 'age' \(did you mean 'Age'\?\); .* 'Age' .*\(did you mean 'age'\?\)"),
        ({"age": "old"}, "row 1: column 'age' holds 'old', and input 'age' takes float32"),
        ({"visits": 2.5}, "column 'visits' holds fractions or missing values, and input 'visits' takes int64"),
        ({"contract": 7}, "is 7 of type int: write it as the string"),
        ({"age": 1e300}, "input 'age' takes float32, which cannot hold 1e"),
    ],
)
def test_columns_that_do_not_fit(change, words):
    row = {name: value for name, value in {**ROW, **change}.items() if value is not None}
    with pytest.raises(InputError, match=words):
        read(row)


def test_a_word_in_a_file_is_named_by_row_and_column(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("age,income,contract,visits\n52,3000,month,3\nold,3000,month,3\n")
    with pytest.raises(InputError, match=r"rows.csv'.* 'old' is no float32, which input 'age' takes"):
        read(path)


def test_an_array_does_not_say_which_column_is_which():
    with pytest.raises(InputError, match="a ndarray does not say which input it is for: give a data frame"):
        read(np.zeros((2, 4)))


def test_columns_whose_names_exporters_change():
    given = read({"mean radius": 1.0, "b": 2.0}, specs(mean_radius=("N", 1), b=("N", 1)))
    assert given.inputs["mean_radius"].tolist() == [[1.0]]


def test_one_input_of_many_columns_takes_them_by_name_where_the_file_knows_them():
    shuffled = {"years": 3.0, "age": 1.0, "debt": 2.0}
    given = read(shuffled, WIDE, KNOWN)
    assert given.inputs["x"].tolist() == [[1, 2, 3]] and given.columns["x"] == KNOWN["x"]
    assert read(shuffled, WIDE).inputs["x"].tolist() == [[3, 1, 2]]
    other = read({"a": 3.0, "b": 1.0, "c": 2.0}, WIDE, KNOWN)  # names of which the file knows none
    assert other.columns["x"] == ("a", "b", "c")
    with pytest.raises(InputError, match=r"lacks columns 'age', 'debt', 'years' \(did you mean 'Age'\?\)"):
        read({"Years": 3.0, "Age": 1.0, "Debt": 2.0}, WIDE, KNOWN)
    with pytest.raises(InputError, match=r"has 2 columns for input 'x', which takes float32 \[N, 3\]$"):
        read({"a": 3.0, "b": 1.0}, WIDE)
    with pytest.raises(InputError, match=r"has 4 columns .*: leave those out that are no features, or name them as id"):
        read(dict.fromkeys("abcd", 1.0), WIDE)


def test_an_identifier_must_be_there():
    with pytest.raises(InputError, match=r"no column 'costumer' for an identifier \(did you mean 'customer'\?\)"):
        read({**ROW, "customer": "C-1"}, ids=["costumer"])
    with pytest.raises(InputError, match=r"identifiers \(customer\) are columns of a table"):
        read(np.zeros((1, 3)), WIDE, ids="customer")


def test_whole_values_of_inputs_stay_as_they_are():
    x = np.zeros((2, 3), np.float32)
    assert read({"x": x}, WIDE).inputs["x"] is x and read(x, WIDE).inputs["x"] is x
    assert not takes_a_table(specs(image=("N", 3, 8, 8)))
    half = {"age": np.zeros((2, 1))}
    assert read(half).inputs["age"] is half["age"]


PICTURE = specs(image=("N", 3, 4, 6))


def test_pictures_by_path_and_as_they_are(tmp_path):
    pictures = [Image.new("RGB", (12, 8), (red, 0, 0)) for red in (255, 10)]
    for index, picture in enumerate(pictures):
        picture.save(tmp_path / f"{index}.png")
    files = [tmp_path / "0.png", tmp_path / "1.png"]
    for value in (pictures, files, tmp_path, str(tmp_path / "*.png"), {"image": pictures}):
        loaded = load_values(read(value, PICTURE), PICTURE, PREPROCESS["unit"])
        np.testing.assert_allclose(loaded.inputs["image"][:, 0, 0, 0], [1, 10 / 255], rtol=1e-6)
        assert loaded.inputs["image"].shape == (2, 3, 4, 6)
    assert loaded.originals["image"][0].size == (12, 8)
    loaded = load_values(read(tmp_path, PICTURE), PICTURE, PREPROCESS["raw"])
    assert loaded.ids["file"] == [str(path) for path in files] and loaded.originals["image"] == files


def test_batches_take_what_a_call_takes(tmp_path):
    net = """
    <ir_version: 10, opset_import: ["": 21]>
    net (float[N, 3, 4, 6] image) => (float[N, 72] y) { y = Flatten (image) }
    """
    explainer = onnxlrp.Explainer(onnxlrp.convert(onnx.parser.parse_model(net)))
    pictures = [Image.new("RGB", (12, 8), (red, 0, 0)) for red in (255, 10, 30)]
    for index, picture in enumerate(pictures):
        picture.save(tmp_path / f"{index}.png")
    once = explainer(pictures, target=0, preprocess="unit")
    for given in (pictures, tmp_path, str(tmp_path / "*.png"), {"image": pictures}, once.inputs["image"]):
        parts = list(explainer.map(given, 2, target=0, preprocess="unit"))
        np.testing.assert_array_equal(
            np.concatenate([part.relevance["image"] for part in parts]), once.relevance["image"]
        )
    stored = explainer.map(pictures, 2, target=0, preprocess="unit", to=tmp_path / "results")
    assert explainer.map(pictures, 2, target=0, preprocess="unit", to=tmp_path / "results").complete
    np.testing.assert_array_equal(stored["image_relevance"], once.relevance["image"])


TEXT = {
    "input_ids": TensorSpec("input_ids", np.dtype(np.int64), ("N", "T")),
    "attention_mask": TensorSpec("attention_mask", np.dtype(np.int64), ("N", "T")),
}


def test_texts_find_the_ids_of_their_tokens(tmp_path):
    assert read("A text.", TEXT).inputs == {"input_ids": "A text."}
    assert read({"review": ["good", "bad"], "id": [1, 2]}, TEXT, ids="id").inputs == {"input_ids": ["good", "bad"]}
    path = tmp_path / "texts.txt"
    path.write_text("good\n\nbad\tworse\n")
    loaded = load_values(read(Path(path), TEXT), TEXT, PREPROCESS["raw"])
    assert loaded.inputs["input_ids"] == ["good", ("bad", "worse")]
