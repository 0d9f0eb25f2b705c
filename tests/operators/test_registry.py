"""The registry: every operator of the installed onnx has one entry, and the page that lists them is up to date."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from onnxlrp.graph.call import Call
from onnxlrp.operators import registry
from onnxlrp.operators.registry import Kind, table

TOOL = Path(__file__).parents[2] / "tools" / "operators_page.py"
OLD = ("Upsample", "Scatter")
"""Deprecated, but still in files."""


def test_every_operator_of_onnx_has_an_entry():
    schemas = [s for s in onnx.defs.get_all_schemas() if s.domain == ""]
    wanted = {s.name for s in schemas if not s.deprecated} | set(OLD)
    assert wanted - {row.operator for row in table() if row.domain == "ai.onnx"} == set()


def test_no_entry_for_what_onnx_does_not_have():
    known = {(s.domain or "ai.onnx", s.name) for s in onnx.defs.get_all_schemas_with_history()}
    ours = {(row.domain, row.operator) for row in table() if row.domain.startswith("ai.onnx")}
    assert ours - known == set()


def test_every_entry_says_what_happens():
    for row in table():
        assert 5 < len(row.summary) < 220, row
        assert row.summary[0].isupper() or row.kind in ("stop", "refused"), row


def test_an_operator_has_one_handler():
    from onnxlrp.operators.registry import stop

    with pytest.raises(ValueError, match=r"two handlers for ai\.onnx::Relu"):
        stop("Relu", reason="claimed twice")


def test_the_page_is_up_to_date():
    spec = importlib.util.spec_from_file_location("operators_page", TOOL)
    assert spec is not None and spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.PAGE.read_text(encoding="utf-8") == tool.page(table()), "run python tools/operators_page.py"


POINTS = np.linspace(-0.9, 0.9, 37)
CLAIMED = [
    name for (domain, name), entry in registry._OPERATORS.items() if domain == "" and entry.kind is Kind.ELEMENTWISE
]
WITH = {
    "LeakyRelu": {"alpha": -0.5},
    "Elu": {"alpha": -1.0},
    "Celu": {"alpha": -1.0},
    "Selu": {"gamma": -1.0},
    "ThresholdedRelu": {"alpha": -0.5},
}
BOUNDS = {"Clip": [[-0.5, 0.25], [0.0, 0.5], [-0.5, 0.0], [0.1, 0.5], [-0.5, -0.1]], "PRelu": [[0.5], [-0.5]]}


@pytest.mark.parametrize("name", CLAIMED)
def test_the_sign_that_an_entry_claims(name):
    """Of no operand negative, and of each operand its own."""
    constants = [np.array(c) for c in BOUNDS[name][0]] if name in BOUNDS else []
    schema = onnx.defs.get_schema(name)
    if schema.min_input > 1 + len(constants) or name == "Not":
        pytest.skip("more than one operand of data")
    for attributes in ({}, WITH.get(name, {})):
        for bounds in BOUNDS.get(name, [[]]):
            _check_sign(name, attributes, [np.array(b) for b in bounds])


def _check_sign(name: str, attributes: dict[str, float], constants: list[np.ndarray]) -> None:
    inputs = ["x", *(f"c{i}" for i in range(len(constants)))]
    graph = helper.make_graph(
        [helper.make_node(name, inputs, ["y"], **attributes)],
        "one",
        [helper.make_tensor_value_info("x", onnx.TensorProto.DOUBLE, [None])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, [None])],
        [onnx.numpy_helper.from_array(v, n) for n, v in zip(inputs[1:], constants, strict=True)],
    )
    model = helper.make_model(graph)
    (node,) = ir.from_proto(model).graph
    entry = registry.find(node)
    assert entry is not None
    sign = entry.sign_of(Call.of(node))
    with np.errstate(all="ignore"):
        y = np.asarray(ReferenceEvaluator(model).run(None, {"x": POINTS})[0])
    if sign in ("nonnegative", "rectified"):
        assert not (y < 0).any()
    if sign in ("keeps", "same"):
        assert not (y[POINTS >= 0] < 0).any()
    if sign == "rectified":
        assert not (y[POINTS <= 0] != 0).any()
    if sign == "same":
        assert not (y * POINTS < 0).any() and (y[POINTS == 0] == 0).all()
