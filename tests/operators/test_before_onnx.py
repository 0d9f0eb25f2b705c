"""onnxruntime's own forms of operators that ONNX has by now, and experiments of its first versions."""

from __future__ import annotations

import numpy as np
import pytest

from tests.operators.fused import Array, Fused, check_forward, check_gradient, check_ledger, floats, ints

X, ROWS = floats(0, 2, 3, 5, 6), floats(1, 4, 3)
GRID = np.random.default_rng(2).uniform(-0.95, 0.95, (2, 3, 4, 2)).astype(np.float32)


def own(op: str, *operands: Array | None, data: tuple[int, ...] = (0,), **attributes) -> Fused:
    return Fused(op, operands, data=data, attributes=attributes)


def experiment(op: str, **attributes) -> Fused:
    return Fused(op, [X], attributes=attributes, domain="", opset=9)


CASES = {
    "grid": own("GridSample", X, GRID),
    "grid of data, cubic": own("GridSample", X, GRID, data=(0, 1), mode="bicubic", padding_mode="border"),
    "grid, corners": own("GridSample", X, GRID, mode="nearest", align_corners=1, padding_mode="reflection"),
    "lower": own("Trilu", X, ints(1, np.int64), upper=0),
    "upper": own("Trilu", X),
    "pad": own("Pad", X, ints([0, 0, 1, 0, 0, 0, 2, 1], np.int64), np.float32(0.5).reshape(1)),
    "pad, reflected": own("Pad", X, ints([0, 0, 1, 0, 0, 0, 2, 1], np.int64), mode="reflect"),
    "gather": own("GatherND", X, ints([[0, 1], [1, 2], [0, 1]], np.int64)),
    "axis": own("ExpandDims", X, ints(-2)),
    "distances": own("CDist", ROWS, floats(3, 5, 3), data=(0, 1), metric="euclidean"),
    "squared distances": own("CDist", ROWS, floats(3, 5, 3), metric="sqeuclidean"),
    "affine": experiment("Affine", alpha=0.5, beta=2.0),
    "scale": experiment("Scale", scale=0.5),
    "picture": experiment("ImageScaler", scale=0.5, bias=[0.1, -0.2, 0.3]),
    "softplus": experiment("ParametricSoftplus", alpha=0.5, beta=2.0),
    "tanh": experiment("ScaledTanh", alpha=0.5, beta=2.0),
    "crop": experiment("Crop", border=[1, 0, 2, 1]),
    "crop to a size": experiment("Crop", border=[1, 1, 0, 0], scale=[2, 3]),
}


@pytest.mark.parametrize("name", CASES)
def test_as_the_kernel_has_it(name):
    check_forward(CASES[name])
    check_gradient(CASES[name], tolerance=1e-5)
    if "distances" not in name:  # a difference of data may be near 0
        check_ledger(CASES[name])
