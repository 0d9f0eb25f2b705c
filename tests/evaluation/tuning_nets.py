"""Small models for tunings, whose best rules are known."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from tests.evaluation.nets import model


def zigzag(weights: np.ndarray) -> onnx.ModelProto:
    """Make y = Σ w · (3 x − 8 max(0, x − 0.8)) over the columns of a table, in two dense layers.

    Between 0.8 and 1 each column raises the score by what it is, 3 x less a little, but the slope is −5: ε, which
    follows slopes, turns the order of the columns around, and γ keeps it from about 1 on.
    """
    columns = len(weights)
    first = np.repeat(np.eye(columns), 2, axis=1)
    bias = np.tile([0, -0.8], columns)
    second = (weights[:, None] * [3, -8]).reshape(-1, 1)
    nodes = [
        helper.make_node("Gemm", ["x", "first", "bias"], ["h"], "hidden"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "second"], ["y"], "score"),
    ]
    return model(nodes, {"x": ["N", columns]}, {"y": ["N", 1]}, {"first": first, "bias": bias, "second": second})


def transformer(random: np.random.Generator, width: int = 4, gated: bool = False) -> onnx.ModelProto:
    """Make one block of a transformer over x [N, 3, width] and a head; no name tells what a layer is for."""
    weights = {f"w{index}": random.normal(size=(width, width)) * 0.5 for index in range(8)}
    weights |= {"one": np.ones(width), "none": np.zeros(width), "axes": np.array([1]), "root": np.array(width**-0.5)}
    weights["w7"] = random.normal(size=(width, 2))

    def dense(x: str, index: int, y: str) -> onnx.NodeProto:
        return helper.make_node("MatMul", [x, f"w{index}"], [y], f"node{index}")

    def norm(x: str, y: str) -> onnx.NodeProto:
        return helper.make_node("LayerNormalization", [x, "one", "none"], [y], y)

    inner = [dense("n2", 4, "m"), helper.make_node("Relu", ["m"], ["a"])]
    if gated:
        inner += [dense("n2", 6, "up"), helper.make_node("Mul", ["a", "up"], ["g"])]
    nodes = [
        norm("x", "n1"),
        *(dense("n1", index, name) for index, name in enumerate("qkv")),
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["s"], "scores"),
        helper.make_node("Mul", ["s", "root"], ["scaled"]),
        helper.make_node("Softmax", ["scaled"], ["p"], axis=-1),
        helper.make_node("MatMul", ["p", "v"], ["c"], "context"),
        dense("c", 3, "o"),
        helper.make_node("Add", ["x", "o"], ["x1"], "residual1"),
        norm("x1", "n2"),
        *inner,
        dense("g" if gated else "a", 5, "d"),
        helper.make_node("Add", ["x1", "d"], ["x2"], "residual2"),
        norm("x2", "n3"),
        helper.make_node("ReduceMean", ["n3", "axes"], ["mean"], keepdims=0),
        dense("mean", 7, "y"),
    ]
    return model(nodes, {"x": ["N", 3, width]}, {"y": ["N", 2]}, weights)


def chain(random: np.random.Generator, names: list[str], batch: int | str = "N") -> onnx.ModelProto:
    """Make a chain of 3 × 3 convolutions with ReLU, one for each name, and a dense layer over two classes."""
    nodes, weights, value = [], {}, "x"
    for index, name in enumerate(names):
        weights[f"k{index}"] = random.normal(size=(3, 3 if index else 1, 3, 3)) * 0.4
        nodes.append(helper.make_node("Conv", [value, f"k{index}"], [f"c{index}"], name, pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{index}"], [f"r{index}"], f"relu {index}"))
        value = f"r{index}"
    weights["w"] = random.normal(size=(108, 2))
    nodes.append(helper.make_node("Flatten", [value], ["f"], "flat"))
    nodes.append(helper.make_node("MatMul", ["f", "w"], ["y"], "head"))
    return model(nodes, {"x": [batch, 1, 6, 6]}, {"y": [batch, 2]}, weights)
