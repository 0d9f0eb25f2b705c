"""What ONNX infers of one node is remembered by everything that inference looks at, and by nothing less."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from onnxscript._internal._inference import infer_outputs as ask

from onnxlrp.graph import node_inference
from onnxlrp.graph.node_inference import infer_outputs


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(node_inference, "_KNOWN", {})


def operand(dims, dtype=ir.DataType.FLOAT, content=None) -> ir.Value:
    constant = None if content is None else ir.Tensor(np.asarray(content))
    shape = None if dims is None else ir.Shape(dims)
    return ir.Value(name=f"x{dims}", shape=shape, type=ir.TensorType(dtype), const_value=constant)


def inferred(infer, op, operands, outputs=1, version=21, **attributes) -> list:
    node = ir.node(op, operands, attributes, num_outputs=outputs, version=version)
    for index, value in enumerate(node.outputs):
        value.name = f"y{index}"
    infer(node)
    return [(v.dtype, None if v.shape is None else list(v.shape)) for v in node.outputs]


INT64 = ir.DataType.INT64
QUESTIONS = [
    ("Concat", [operand([2, 3]), operand([2, 3])], {"axis": 0}),
    ("Concat", [operand([2, 3]), operand([2, 3])], {"axis": 1}),
    ("Concat", [operand(["N", 3]), operand(["N", 3])], {"axis": 1}),
    ("Concat", [operand(["M", 3]), operand(["M", 3])], {"axis": 1}),
    ("Concat", [operand([None, 3]), operand([None, 3])], {"axis": 1}),
    ("Concat", [operand(None), operand(None)], {"axis": 1}),
    ("Concat", [operand([2, 3], ir.DataType.DOUBLE)] * 2, {"axis": 0}),
    ("Reshape", [operand([2, 3]), operand([2], INT64)], {}),
    ("Reshape", [operand([2, 3]), operand([2], INT64, [3, 2])], {}),
    ("Reshape", [operand([2, 3]), operand([2], INT64, [6, 1])], {}),
    ("Cast", [operand([2, 3])], {"to": 7}),
    ("Cast", [operand([2, 3])], {"to": 11}),
    ("Clip", [operand([2, 3]), None, operand([])], {}),
    ("ConstantOfShape", [operand([2], INT64, [3, 2])], {"value": ir.Tensor(np.zeros(1, np.int32))}),
    ("ConstantOfShape", [operand([2], INT64, [3, 2])], {"value": ir.Tensor(np.zeros(1, np.float64))}),
]


def test_every_question_has_its_own_answer():
    for _ in range(2):
        for op, operands, attributes in QUESTIONS:
            expected = inferred(ask, op, operands, **attributes)
            assert inferred(infer_outputs, op, operands, **attributes) == expected
    assert inferred(infer_outputs, "Split", [operand([4])], 2, num_outputs=2) == inferred(
        ask, "Split", [operand([4])], 2, num_outputs=2
    )


def test_what_was_asked_once_is_known(monkeypatch):
    inferred(infer_outputs, "Relu", [operand(["N", 3])])
    monkeypatch.setattr(node_inference, "_ask", None)
    assert inferred(infer_outputs, "Relu", [operand(["N", 3])]) == [(ir.DataType.FLOAT, [ir.SymbolicDim("N"), 3])]


def test_answers_are_not_shared():
    """A type or a shape that is changed in place changes no other value's."""
    first, second = (ir.node("Relu", [operand([2, 3])], version=21) for _ in range(2))
    for node in (first, second):
        node.outputs[0].name = "y"
        infer_outputs(node)
        node.outputs[0].shape[0] = 7
        node.outputs[0].dtype = ir.DataType.DOUBLE
    assert inferred(infer_outputs, "Relu", [operand([2, 3])]) == [(ir.DataType.FLOAT, [2, 3])]


def test_a_failure_is_said_every_time():
    for _ in range(2):
        node = ir.node("Concat", [operand([2, 3]), operand([4, 5])], {"axis": 0}, version=21)
        node.outputs[0].name = "y"
        infer_outputs(node)
        assert node_inference.ERROR in node.metadata_props


@pytest.mark.parametrize("axis", [1, -2])
def test_parts_of_a_split_into_many(axis):
    """Inference is shown constants of up to 20 numbers; parts of more sizes, and of other sizes, are known, too."""
    for first in (1, 2):
        sizes = [first, *[3] * 24]
        parts = [operand(["N", sum(sizes), 2]), operand([25], INT64, sizes)]
        assert inferred(infer_outputs, "Split", parts, 25, axis=axis) == [
            (ir.DataType.FLOAT, ["N", size, 2]) for size in sizes
        ]
