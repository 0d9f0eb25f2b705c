"""Hardmax before opset 13 puts a single 1 into all axes from its own on; the explained model must do so too."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

import onnxlrp
from tools.cases.lib import Table, quietly, runner, sketch

SHAPE = (2, 3, 4)


def model(op: str, axis: int | None) -> onnx.ModelProto:
    """Make the operator of opset 11, gating its own input, and a score."""
    attributes = {} if axis is None else {"axis": axis}
    nodes = [
        helper.make_node(op, ["x"], ["s"], **attributes),
        helper.make_node("Mul", ["s", "x"], ["g"]),
        helper.make_node("Flatten", ["g"], ["f"], axis=1),
        helper.make_node("MatMul", ["f", "W"], ["y"]),
    ]
    weights = np.random.default_rng(0).normal(size=(12, 2)).astype(np.float32)
    made = sketch(nodes, {"W": weights}, SHAPE, (2, 2))
    made.opset_import[0].version = 11
    return made


def outputs_differ(source: onnx.ModelProto, x: np.ndarray) -> float:
    """Return the largest difference between the outputs before and after conversion."""
    with quietly():
        explained = onnxlrp.convert(source, composite="epsilon").to_proto()
    return float(np.abs(runner(explained, "y")(x) - runner(source)(x)).max())


def main() -> int:
    """Require outputs within 1e-6 for every axis, for Softmax and LogSoftmax too."""
    table = Table("outputs after conversion, operators of opset 11")
    x = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    for op in ("Softmax", "LogSoftmax", "Hardmax"):
        for axis in (None, 0, 1, 2, -2):

            def figure(op: str = op, axis: int | None = axis) -> tuple[bool, str]:
                difference = outputs_differ(model(op, axis), x)
                return difference <= 1e-6, f"differ by {difference:.3g}"

            table.attempt(f"{op}, axis {axis}", figure)
    return table.status()


if __name__ == "__main__":
    raise SystemExit(main())
