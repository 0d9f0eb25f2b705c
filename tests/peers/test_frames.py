"""Frames, rows and arrays of the libraries that users have: into a call, and out of an explanation."""

from __future__ import annotations

import numpy as np
import onnx.parser
import pytest

import onnxlrp
from onnxlrp.errors import InputError

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")]
pd = pytest.importorskip("pandas")

CHURN = """
<ir_version: 10, opset_import: ["": 21, "ai.onnx.ml": 3]>
churn (float[N, 1] age, float[N, 1] income, string[N, 1] contract) => (float[N, 2] scores)
<float[4, 2] W = {1, -1, 2, 0, -1, 3, 0.5, 1}>
{
  code = ai.onnx.ml.OneHotEncoder <cats_strings = ["month", "year"]> (contract)
  axis = Constant <value_ints = [1]> ()
  flat = Squeeze (code, axis)
  joined = Concat <axis = 1> (age, income, flat)
  scores = MatMul (joined, W)
}
"""
IMAGE = """
<ir_version: 10, opset_import: ["": 21]>
net (float[N, 2, 3] field) => (float[N, 1] y)
{
  flat = Flatten (field)
  ones = Constant <value_floats = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]> ()
  axis = Constant <value_ints = [1]> ()
  column = Unsqueeze (ones, axis)
  y = MatMul (flat, column)
}
"""
ROWS = {"age": [52, 19, 33], "income": [3000.5, 10.0, None], "contract": ["month", "year", "year"]}
FRAME = pd.DataFrame({**ROWS, "income": [3000.5, 10.0, np.nan]}, index=pd.Index(["C-1", "C-2", "C-3"], name="customer"))


@pytest.fixture(scope="module")
def explainer():
    return onnxlrp.Explainer(onnxlrp.convert(onnx.parser.parse_model(CHURN)))


def relevance(explanation):
    return {name: value.tolist() for name, value in explanation.relevance.items()}


def test_pandas_in(explainer):
    whole = explainer(FRAME.iloc[:2])
    assert whole.ids["customer"].tolist() == ["C-1", "C-2"]
    same = [
        FRAME.iloc[:2][["contract", "age", "income"]],
        FRAME.iloc[:2].convert_dtypes(),
        FRAME.iloc[:2].astype({"contract": "category", "age": "int8", "income": "float32"}),
        FRAME.iloc[:2].astype({"contract": object}).to_dict("records"),
        FRAME.iloc[:2].to_dict("list"),
        {name: FRAME[name][:2] for name in FRAME},
        FRAME.iloc[:2].to_records(index=False),
    ]
    for given in same:
        assert relevance(explainer(given)) == relevance(whole)
    row = explainer(FRAME.iloc[1], target=0)
    assert relevance(row) == {"age": [[19]], "income": [[20]], "contract": [[0.5]]}
    assert row.ids["index"].tolist() == ["C-2"]


def test_missing_values_of_every_kind_are_nan_for_numbers_and_refused_for_words(explainer):
    for frame in (FRAME, FRAME.convert_dtypes()):
        assert np.isnan(explainer(frame).inputs["income"][2, 0])
    with pytest.raises(InputError, match="one is missing"):
        explainer(FRAME.assign(contract=["month", None, "year"]))
    with pytest.raises(InputError, match="two columns by the name of 'age'"):
        explainer(pd.concat([FRAME, FRAME[["age"]]], axis=1))


def test_polars_and_pyarrow_in(explainer, tmp_path):
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    expected = relevance(explainer(FRAME.iloc[:2]))
    frame = pl.DataFrame(ROWS)
    assert relevance(explainer(frame[:2])) == expected
    assert relevance(explainer(frame[:2].with_columns(pl.col("contract").cast(pl.Categorical)))) == expected
    assert relevance(explainer(pa.table(ROWS).slice(0, 2))) == expected
    assert (
        explainer(frame.row(1, named=True)).relevance["age"].tolist() == explainer(frame[1]).relevance["age"].tolist()
    )
    assert np.isnan(explainer(frame).inputs["income"][2, 0])
    frame[:2].write_parquet(tmp_path / "rows.parquet")
    FRAME.iloc[:2].to_csv(tmp_path / "rows.csv")
    assert relevance(explainer(tmp_path / "rows.parquet")) == expected
    assert relevance(explainer(tmp_path / "rows.csv", ids=["customer"])) == expected
    parts = [relevance(part) for part in explainer.map(tmp_path / "rows.parquet", batch_size=1)]
    assert [part["age"][0] for part in parts] == expected["age"]


def test_frames_out(explainer, tmp_path):
    pl = pytest.importorskip("polars")
    explanation = explainer(FRAME.iloc[:2])
    frame = explanation.to_frame()
    assert frame.customer.tolist() == ["C-1", "C-2"] and frame.contract.tolist() == ["month", "year"]
    np.testing.assert_allclose(frame.filter(like="_relevance").drop(columns="total_relevance").sum(axis=1), frame.score)
    other = explanation.to_frame("polars")
    assert other["age"].to_list() == frame.age.tolist() and other["contract"].dtype == pl.String
    explanation.save(tmp_path / "rows.parquet")
    explanation.save(tmp_path / "rows.csv")
    for read in (pd.read_parquet(tmp_path / "rows.parquet"), pd.read_csv(tmp_path / "rows.csv")):
        assert list(read) == list(frame) and read.age_relevance.tolist() == frame.age_relevance.tolist()


def test_parquet_is_written_batch_by_batch(explainer, tmp_path):
    from onnxlrp.view.table_file import write_table

    parquet = pytest.importorskip("pyarrow.parquet")
    many = pd.concat([FRAME.iloc[:2]] * 50)
    assert write_table(explainer.map(many, batch_size=30), tmp_path / "rows.parquet") == 100
    assert parquet.ParquetFile(tmp_path / "rows.parquet").num_row_groups == 4
    read = pd.read_parquet(tmp_path / "rows.parquet")
    assert read.customer.tolist() == ["C-1", "C-2"] * 50 and read.age.tolist() == [52, 19] * 50


@pytest.mark.filterwarnings("ignore")
def test_every_plot_of_shap(explainer):
    shap, plt = pytest.importorskip("shap"), pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    explanation = explainer(pd.concat([FRAME.iloc[:2]] * 10))
    values = explanation.to_shap()
    assert values.feature_names == ["age", "income", "contract"] and values.display_data[0, 2] == "month"
    np.testing.assert_allclose(values.values.sum(1) + values.base_values, explanation.score)
    plots = shap.plots
    for draw in (
        lambda: plots.waterfall(values[0], show=False),
        lambda: plots.bar(values, show=False),
        lambda: plots.bar(values[1], show=False),
        lambda: plots.beeswarm(values, show=False),
        lambda: plots.violin(values, show=False),
        lambda: plots.heatmap(values, show=False),
        lambda: plots.scatter(values[:, "contract"], show=False),
        lambda: plots.force(values[0], matplotlib=True, show=False),
        lambda: plots.force(values),
    ):
        draw()
        plt.close("all")


def test_shap_of_several_targets_and_of_arrays(explainer):
    pytest.importorskip("shap")
    model = onnxlrp.convert(onnx.parser.parse_model(CHURN), targets=2)
    both = onnxlrp.Explainer(model)(FRAME.iloc[:2], target=[0, 1]).to_shap()
    one = [explainer(FRAME.iloc[:2], target=k).to_shap() for k in (0, 1)]
    for k in (0, 1):
        np.testing.assert_allclose(both[..., k].values, one[k].values)
    field = onnxlrp.Explainer(onnxlrp.convert(onnx.parser.parse_model(IMAGE)))
    assert field(np.ones((4, 2, 3), np.float32)).to_shap().values.shape == (4, 2, 3)


def test_xarray_keeps_its_coordinates():
    xr = pytest.importorskip("xarray")
    explainer = onnxlrp.Explainer(onnxlrp.convert(onnx.parser.parse_model(IMAGE)))
    values = np.arange(12, dtype=np.float64).reshape(2, 2, 3)
    coords = {"time": [1990, 2000], "latitude": [10.0, 20.0], "longitude": [0.0, 5.0, 10.0]}
    field = xr.DataArray(values, coords, ["time", "latitude", "longitude"], attrs={"units": "K"})
    for given in (field, {"field": field}, xr.Dataset({"field": field})):
        found = explainer(given).to_xarray()["field"]
        assert found.dims == field.dims and found.sel(time=2000, latitude=10.0, longitude=5.0) == 7 * 2
        xr.testing.assert_equal(found.latitude, field.latitude)
    plain = explainer(values.astype(np.float32)).to_xarray()["field"]
    assert plain.dims == ("sample", "field_axis_1", "field_axis_2")


TWO = """
<ir_version: 10, opset_import: ["": 21]>
two (float[N, 2] lat, float[N, 3] b) => (float[N, 1] y)
<float[5, 1] w = {1, 2, 3, 4, 5}>
{ x = Concat <axis = 1> (lat, b)  y = MatMul (x, w) }
"""


def test_arrays_on_different_grids_stay_apart():
    """A dataset would join their coordinates, and fill the gaps with NaN."""
    xr = pytest.importorskip("xarray")
    explainer = onnxlrp.Explainer(onnxlrp.convert(onnx.parser.parse_model(TWO), "lrp0"))
    one = xr.DataArray(np.ones((2, 2), np.float32), {"time": [1, 2], "lat": [10, 20]}, ["time", "lat"])
    other = xr.DataArray(np.ones((2, 3), np.float32), {"time": [1, 2], "lat": [10, 15, 20]}, ["time", "lat"])
    found = explainer({"lat": one, "b": other}).to_xarray()
    assert found["lat"].dims == ("time", "lat_lat") and found["b"].dims == ("time", "b_lat")
    assert found["lat"].values.tolist() == [[1, 2]] * 2 and found["b"].values.tolist() == [[3, 4, 5]] * 2
    assert found["b"].sel(b_lat=15, time=2) == 4


REVIEW = """
<ir_version: 10, opset_import: ["": 21]>
review (int64[N, T] input_ids) => (float[N, 1] score)
<float[4, 1] table = {0, 2, -3, 0.5}>
{
  words = Gather (table, input_ids)
  axis = Constant <value_ints = [1]> ()
  score = ReduceSum <keepdims = 0> (words, axis)
}
"""


def test_texts_of_a_frame_by_a_tokenizer():
    """The padding of the shorter text is no token of a table, a reason or a plot."""
    shap, tokenizers = pytest.importorskip("shap"), pytest.importorskip("tokenizers")
    words = tokenizers.models.WordLevel({"[PAD]": 0, "good": 1, "bad": 2, "film": 3}, unk_token="[PAD]")
    tokenizer = tokenizers.Tokenizer(words)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    explainer = onnxlrp.Explainer(onnxlrp.convert(onnx.parser.parse_model(REVIEW)), tokenizer=tokenizer)
    texts = pd.DataFrame({"text": ["good film", "bad"]}, index=pd.Index(["a", "b"], name="review"))
    for given in (texts, texts.text, ["good film", "bad"], {"input_ids": texts.text.tolist()}):
        explanation = explainer(given)
        assert explanation.to_frame().token.tolist() == ["good", "film", "bad"]
        assert explanation.to_frame().relevance.tolist() == pytest.approx([2, 0.5, -3])
    assert explainer(texts).to_frame().review.tolist() == ["a", "a", "b"]
    assert str(explanation.reasons(against=True)[1][0]) == "bad lowered the score by 3"
    values = explanation.to_shap()
    assert values[0].values.tolist() == pytest.approx([2, 0.5]) and values[1].data.tolist() == ["bad "]
    assert "film" in shap.plots.text(values, display=False)
