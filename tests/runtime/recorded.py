"""A small model in a folder, with everything that a record can say of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser

import onnxlrp

SOURCE = """
<ir_version: 10, opset_import: ["": 17]> tiny (float[N, 3] x) => (float[N, 2] y)
<float[3, 2] w = {1, 0.5, -1, 1, 2, 3}, float[2] b = {0, -0.5}, float[2, 2] v = {2, -1, 1, 1}>
{ z = Gemm(x, w, b)  h = Relu(z)  y = MatMul(h, v) }
"""
ROWS = np.float32([[1, 2, 3], [4, -5, 6]])


def folder_of(path: Path, composite: str = "epsilon", **options) -> Path:
    """Write source, explained model and rows into a folder."""
    path.mkdir(exist_ok=True)
    onnx.save(onnx.parser.parse_model(SOURCE), path / "tiny.onnx")
    onnxlrp.convert(path / "tiny.onnx", composite, **options).save(path / "tiny.lrp.onnx")
    np.save(path / "rows.npy", ROWS)
    return path


def explained_in(folder: Path, **asked) -> onnxlrp.Explanation:
    """Explain the rows of a folder."""
    return onnxlrp.Explainer(folder / "tiny.lrp.onnx")({"x": folder / "rows.npy"}, **asked)
