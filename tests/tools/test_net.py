"""The net that compares two states: what it counts as a difference, and what it does not."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tools.net.emitted_graph import digest, operators, without
from tools.net.subjects import rows
from tools.net.verdict import OPERATORS, REFUSAL, REWIRED, SAME, VALUES, Record, judge


def loop_model(
    prefix: str = "", alpha: float = 0.5, weight: float = 2.0, *, swapped: bool = False, tap: bool = True
) -> onnx.ModelProto:
    """y = x·w through a LeakyRelu, and a loop that adds y up; `tap`: with a second, carried sum for a ledger."""
    p = prefix
    carried = ["sum", "tap"] if tap else ["sum"]
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["on"]),
            helper.make_node("Mul", [f"{p}y", "inner"], ["scaled"]),
            *(helper.make_node("Add", [name, "scaled"], [f"{name}_next"]) for name in carried),
        ],
        "body",
        [
            helper.make_tensor_value_info("trip", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            *(helper.make_tensor_value_info(name, TensorProto.DOUBLE, [2]) for name in carried),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            *(helper.make_tensor_value_info(f"{name}_next", TensorProto.DOUBLE, [2]) for name in carried),
        ],
        [onnx.numpy_helper.from_array(np.array(7.0), "inner")],
    )
    outputs = {"sum": "r", "tap": "ledger"}
    nodes = [
        helper.make_node("LeakyRelu", ["x"], [f"{p}a"], alpha=alpha),
        helper.make_node("Mul", ["x" if swapped else f"{p}a", f"{p}w"], [f"{p}y"]),
        helper.make_node("Loop", ["three", "", *["x"] * len(carried)], [outputs[c] for c in carried], body=body),
    ]
    nodes[2].metadata_props.add(key="onnxlrp.rule", value="a rule")
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [2])],
        [helper.make_tensor_value_info(outputs[c], TensorProto.DOUBLE, [2]) for c in carried],
        [
            onnx.numpy_helper.from_array(np.array([weight, 1.0]), f"{p}w"),
            onnx.numpy_helper.from_array(np.array(3), "three"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_operators_are_counted_with_attributes_and_bodies():
    found = operators(loop_model())
    assert found["LeakyRelu(alpha=0.5)"] == 1
    assert found["Loop.body › Add()"] == 2
    assert found["initializer int64[]=3"] == found["Loop.body › initializer double[]=7.0"] == 1
    assert operators(loop_model(), relevance=True) == Counter(
        {"Loop()": 1, "Loop.body › Add()": 2, "Loop.body › Mul()": 1, "Loop.body › Identity()": 1}
    )


@pytest.mark.parametrize(
    ("change", "same_operators"),
    [({"alpha": 0.25}, False), ({"weight": 3.0}, False), ({"swapped": True}, True)],
    ids=lambda value: str(value),
)
def test_the_digest_sees_everything_but_names(change, same_operators):
    assert digest(loop_model()) == digest(loop_model(prefix="other_"))
    assert operators(loop_model()) == operators(loop_model(prefix="other_"))
    assert digest(loop_model()) != digest(loop_model(**change))
    assert (operators(loop_model()) == operators(loop_model(**change))) == same_operators


def test_what_only_one_output_needs_goes():
    """A carried value as well, which reads nothing but itself."""
    assert operators(without(loop_model(), "ledger")) == operators(loop_model(tap=False))
    assert operators(without(loop_model(), "r"))["Loop.body › Add()"] == 1


def record(graph: str = "a", *texts: str, value: float = 1.0, constant: str = "c") -> Record:
    counts = Counter(texts)
    arrays = {"r": np.array([1e3, value]), "label": np.array(["cat"])}
    return Record("", graph, counts, counts + Counter([constant]), counts, arrays)


@pytest.mark.parametrize(
    ("new", "kinds"),
    [
        (record("a", "Mul()"), (SAME,)),
        (record("b", "Mul()"), (REWIRED,)),
        (record("b", "Mul()", value=1 + 1e-11), (REWIRED,)),
        (record("b", "Mul()", value=1 + 1e-8), (VALUES,)),
        (record("b", "Mul()", value=np.nan), (VALUES,)),
        (record("b", "Mul()", "Mul()"), (OPERATORS,)),
        (record("b", "Mul()", constant="d"), (OPERATORS,)),
        (record("b", "Neg()", value=2.0), (OPERATORS, VALUES)),
        (Record(refused="InputError"), (REFUSAL,)),
    ],
)
def test_verdicts(new, kinds):
    """The gap is a share of the largest entry, here 1,000."""
    verdict = judge(record("a", "Mul()"), new, 1e-12)
    assert verdict.kinds == kinds
    assert verdict.fault == (kinds not in ((SAME,), (REWIRED,)))


def test_refused_alike_is_equal():
    assert judge(Record(refused="InputError"), Record(refused="InputError"), 1e-12).kinds == (SAME,)


def test_every_row_has_a_name_of_its_own():
    """Bodies, attention, half precision and options are among them; quick runs have some of them all."""
    every, quick = ([row.name for row in rows(quick=quick)] for quick in (False, True))
    assert len(set(every)) == len(every) > 2 * len(quick)
    assert set(quick) < set(every)
    for name in ("loop auto", "mixer epsilon target=weights ledger", "digits_lstm-float64 epsilon ledger"):
        assert name in every
    assert not any("gradient" in name and name.endswith("ledger") for name in every)
