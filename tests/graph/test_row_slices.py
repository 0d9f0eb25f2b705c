"""Slices of rows: all of one size, none larger than asked, and each row once in what is joined."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.row_slices import RowSlices

ort = pytest.importorskip("onnxruntime")


@pytest.mark.parametrize(("rows", "most"), [(0, 3), (1, 3), (3, 3), (7, 3), (8, 3), (10, 4), (5, 1), (2, 100)])
def test_every_row_comes_once(rows: int, most: int) -> None:
    x = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["N", 2]))
    index = ir.Value(name="index", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([]))
    stacked = ir.Value(name="stacked", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(["T", "S", 2]))
    graph = ir.Graph([x, index, stacked], [], nodes=[], opset_imports={"": 21}, name="rows")
    op = Builder(graph, "rows")
    slices = RowSlices.of(op, op.dim(x, 0), most)
    graph.outputs.extend([slices.trips, slices.size, slices.start(op, index), slices.joined(op, stacked)])
    model = ir.serde.serialize_model(ir.Model(graph, ir_version=10))
    onnx.checker.check_model(model)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    data = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)

    def run(index: int, pieces: np.ndarray) -> list[np.ndarray]:
        return session.run(None, {"x": data, "index": np.array(index), "stacked": pieces})

    (trips,), (size,), *_ = run(0, np.zeros((1, 2 * rows + 2, 2), np.float32))
    assert size <= most and trips >= 1
    starts = [int(run(i, np.zeros((trips, size, 2), np.float32))[2][0]) for i in range(trips)]
    pieces = np.stack([data[start : start + size] for start in starts])
    np.testing.assert_array_equal(run(0, pieces)[3], data)
