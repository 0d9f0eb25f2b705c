"""Rows of a batch as a table: which rows are marked, and what columns every table has."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper

import onnxlrp
from onnxlrp.errors import InputError, TargetError
from onnxlrp.view.explanation_table import table_of
from tests.cli.test_table_rows import CHURN
from tests.peers.test_frames import IMAGE

pytestmark = [pytest.mark.engines, pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")]
pa = pytest.importorskip("pyarrow")
explained_rows = pytest.importorskip("onnxlrp.integrations.explained_rows")
RowExplainer, RowOptions = explained_rows.RowExplainer, explained_rows.RowOptions


def rows(count=100, faulty=()):
    visits = np.arange(count, dtype=np.float64)
    visits[list(faulty)] += 0.5
    numbers = {"age": np.linspace(-1, 1, count), "income": np.ones(count), "visits": visits}
    return {**numbers, "customer": np.array([f"C-{index}" for index in range(count)], dtype=object)}


def explainer(text=CHURN, convert=None, **options):
    return RowExplainer(onnxlrp.convert(onnx.parser.parse_model(text), **(convert or {})), RowOptions(**options))


def marked(table):
    return [index for index, error in enumerate(table["error"].to_pylist()) if error]


def test_rows_at_fault_are_marked_alone():
    """They keep what identifies them, and the values that are of the right type."""
    table = explainer(ids=("customer",)).table(rows(faulty=[3, 64]))
    assert marked(table) == [3, 64] and table["customer"].to_pylist() == rows()["customer"].tolist()
    assert table["error"][3].as_py().startswith("InputError: the dictionary: column 'visits' holds fractions")
    row = table.slice(3, 1).to_pylist()[0]
    assert row["age"] is not None and row["visits"] is None and row["score"] is None and row["target"] is None


def test_what_is_left_of_a_batch_is_given_up_together(monkeypatch):
    """A batch in which everything fails does not cost two runs a row."""
    found, runs = explainer(ids=("customer",)), []
    compute = found._computed
    monkeypatch.setattr(found, "_computed", lambda values: (runs.append(1), compute(values))[1])
    table = found.table(rows(4096, range(4096)))
    assert len(marked(table)) == 4096 and len(runs) < 200


def test_tables_have_one_schema_that_of_a_saved_explanation():
    found = explainer(ids=("customer",))
    good, bad, none = (found.table(one) for one in (rows(5), rows(1, [0]), rows(0)))
    assert good.schema == bad.schema == none.schema
    whole = table_of(onnxlrp.Explainer(onnxlrp.convert(onnx.parser.parse_model(CHURN)))(rows(5), ids="customer"))
    assert good.column_names == [*whole, "error"]
    for name, column in whole.items():
        assert good[name].to_pylist() == column.tolist()
    few = explainer(ids=("customer",), keep_inputs=False).table(rows(5)).column_names
    assert few == [name for name in good.column_names if name not in ("age", "income", "visits")]


def test_a_base_value_is_among_the_columns():
    node = helper.make_node(
        "TreeEnsembleRegressor", ["X"], ["y"], domain="ai.onnx.ml", n_targets=1, nodes_treeids=[0, 0, 0],
        nodes_nodeids=[0, 1, 2], nodes_featureids=[1, 0, 0], nodes_values=[0.5, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0],
        nodes_hitrates=[4.0, 3.0, 1.0], target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0],
        target_weights=[1.0, 3.0],
    )  # fmt: skip
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size]) for name, size in (("X", 2), ("y", 1)))
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(helper.make_graph([node], "tree", [x], [y]), opset_imports=opsets, ir_version=10)
    table = RowExplainer(onnxlrp.convert(model), RowOptions()).table({"low": np.zeros(2), "high": np.array([0.0, 1.0])})
    assert table["base_value"].to_pylist() == [1.5, 1.5] and table["high_relevance"].to_pylist() == [-0.5, 1.5]
    assert table["low"].type == pa.float32() and table["raw_score"].to_pylist() == [1, 3]


def test_an_input_that_is_no_column_is_a_list():
    field = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    table = explainer(IMAGE).table({"field": field})
    assert table["field_relevance"].type == pa.list_(pa.float32()) and len(table["field_relevance"][0]) == 6
    with pytest.raises(InputError, match="astype"):
        explainer(IMAGE).table({"field": field.astype(np.float64)})


def test_the_largest_elements_come_with_their_places():
    field = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    table = explainer(IMAGE, convert={"reduce": {"field": "top=2"}}).table({"field": field})
    assert table["field_relevance_indices"].to_pylist() == [[5, 4], [5, 4]]
    assert table["field_relevance"].to_pylist() == [[30, 20], [66, 50]]


def test_a_model_of_one_row_takes_them_one_by_one():
    table = explainer(IMAGE.replace("N", "1")).table({"field": np.ones((3, 2, 3), np.float32)})
    assert table.num_rows == 3 and not marked(table)
    with pytest.raises(InputError, match="batches of 5 only"):
        explainer(IMAGE.replace("N", "5"))


def test_several_targets_have_rows_of_their_own():
    found = explainer(convert={"targets": 2}, ids=("customer",), target=(0, 1))
    table = found.table(rows(3))
    assert table["customer"].to_pylist() == ["C-0", "C-0", "C-1", "C-1", "C-2", "C-2"]
    assert table["target"].to_pylist() == [0, 1] * 3


def test_what_no_row_could_mend_is_raised():
    with pytest.raises(InputError, match="no column 'client'"):
        explainer(ids=("client",)).table(rows(3))
    with pytest.raises(InputError, match="lacks column 'age'"):
        explainer(ids=("customer",)).table({name: column for name, column in rows(3).items() if name != "age"})
    with pytest.raises(TargetError):
        explainer(ids=("customer",), target=7).table(rows(3))
