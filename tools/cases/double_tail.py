"""Layers in float32 with a tail in float64, as exporters write grids and anchors: relevance must stay in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto
from onnx.helper import make_node

from tools.cases.lib import Table, explain, sketch

COMPOSITES = ("auto", "epsilon", "gradient")
PICTURE, VECTOR, SERIES = (1, 2, 8, 8), (1, 8), (5, 1, 8)
ONES, ZEROS = np.ones(2, np.float32), np.zeros(2, np.float32)
SQUARE = {"kernel_shape": [2, 2], "strides": [2, 2]}


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


CASES: dict[str, tuple[tuple[int, ...], list[Any], dict[str, Any]]] = {
    "Conv": (PICTURE, [drawn(3, 2, 3, 3)], {}),
    "ConvTranspose": (PICTURE, [drawn(2, 3, 3, 3)], {}),
    "AveragePool": (PICTURE, [], SQUARE),
    "MaxPool": (PICTURE, [], SQUARE),
    "Resize": (PICTURE, [None, np.float32([1, 1, 2, 2])], {"mode": "linear"}),
    "MatMul": (VECTOR, [drawn(8, 3)], {}),
    "Gelu": (VECTOR, [], {}),
    "Erf": (VECTOR, [], {}),
    "LSTM": (SERIES, [drawn(1, 16, 8), drawn(1, 16, 4)], {"hidden_size": 4}),
    "GRU": (SERIES, [drawn(1, 12, 8), drawn(1, 12, 4)], {"hidden_size": 4}),
    "LayerNormalization": (VECTOR, [np.ones(8, np.float32)], {}),
    "InstanceNormalization": (PICTURE, [ONES, ZEROS], {}),
    "GroupNormalization": (PICTURE, [ONES, ZEROS], {"num_groups": 1}),
    "Softplus": (VECTOR, [], {}),
    "Relu": (VECTOR, [], {}),
    "Softmax": (VECTOR, [], {}),
    "Sin": (VECTOR, [], {}),
    "Sigmoid": (VECTOR, [], {}),
}
"""Shape of x, the operator's other operands, and its attributes."""


def model(operator: str) -> onnx.ModelProto:
    """Make the operator in float32, then a product in float64."""
    shape, operands, attributes = CASES[operator]
    constants = {f"c{i}": v for i, v in enumerate(operands) if v is not None}
    names = ["x", *(f"c{i}" if v is not None else "" for i, v in enumerate(operands))]
    nodes = [
        make_node(operator, names, ["h"], **attributes),
        make_node("Cast", ["h"], ["wide"], to=TensorProto.DOUBLE),
        make_node("Mul", ["wide", "factor"], ["y"]),
    ]
    return sketch(nodes, {**constants, "factor": np.float64(1.5)}, shape, None, (np.float32, np.float64))


def main() -> int:
    """Require that every row runs, and that its relevance is float32 and finite."""
    table = Table("relevance through a float64 tail")
    for operator in CASES:

        def figure(operator: str = operator) -> tuple[bool, str]:
            x = np.random.default_rng(1).normal(size=CASES[operator][0]).astype(np.float32)
            maps = [explain(model(operator), x, c, kind="weights").relevance["x"] for c in COMPOSITES]
            kinds = sorted({str(r.dtype) for r in maps})
            return kinds == ["float32"] and all(np.isfinite(r).all() for r in maps), ", ".join(kinds)

        table.attempt(operator, figure)
    return table.status()


if __name__ == "__main__":
    raise SystemExit(main())
