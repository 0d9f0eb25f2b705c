"""Resize of opset 10 and Upsample compute `x_old = x_new / scale`; the explained model's outputs must be equal."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from tools.cases.lib import Table, sketch
from tools.cases.old_hardmax import outputs_differ

SIDE = 4


def model(op: str, opset: int, mode: str, scales: tuple[float, float]) -> onnx.ModelProto:
    """Make the operator and a score of its pixels."""
    every = np.float32([1, 1, *scales])
    height, width = (int(np.floor(np.float32(SIDE) * s)) for s in every[2:])
    constants = {"W": np.random.default_rng(0).normal(size=(height * width, 2)).astype(np.float32)}
    if opset == 7:
        resize = helper.make_node(op, ["x"], ["r"], mode=mode, scales=every.tolist())
    else:
        resize = helper.make_node(op, ["x", "s"], ["r"], mode=mode)
        constants["s"] = every
    nodes = [resize, helper.make_node("Flatten", ["r"], ["f"], axis=1), helper.make_node("MatMul", ["f", "W"], ["y"])]
    made = sketch(nodes, constants, (1, 1, SIDE, SIDE), (1, 2))
    made.opset_import[0].version = opset
    return made


def main() -> int:
    """Require outputs within 1e-5, at scales that enlarge, and for Resize at scales that shrink one or both axes."""
    table = Table("outputs after conversion")
    x = np.random.default_rng(1).normal(size=(1, 1, SIDE, SIDE)).astype(np.float32)
    for op, opset in (("Resize", 10), ("Upsample", 9), ("Upsample", 7)):
        shrinking = ((0.6, 0.6), (1.5, 0.6)) if op == "Resize" else ()
        for mode in ("nearest", "linear"):
            for scales in ((1.5, 1.5), (2.0, 2.0), (5 / 3, 5 / 3), *shrinking):
                source = model(op, opset, mode, scales)

                def figure(source: onnx.ModelProto = source) -> tuple[bool, str]:
                    difference = outputs_differ(source, x)
                    return difference <= 1e-5, f"differ by {difference:.3g}"

                table.attempt(f"{op}-{opset} {mode}, {scales[0]:.2f} x {scales[1]:.2f}", figure)
    return table.status()


if __name__ == "__main__":
    raise SystemExit(main())
