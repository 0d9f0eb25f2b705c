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


def transformer(random: np.random.Generator, blocks: int = 1, gated: bool = False) -> onnx.ModelProto:
    """Make a transformer over x [N, 3, 4] and a head of two scores; no name tells what a layer is for.

    The layers of block b are "node" + 7 b + 0 (query), 1 (key), 2 (value), 3 (attention output), 4 (MLP in), 5 (MLP
    out) and, if it is gated, 6 (the other operand of the gate); the head is "head".
    """
    weights = {"one": np.ones(4), "none": np.zeros(4), "axes": np.array([1]), "root": np.array(0.5)}
    weights["head"] = random.normal(size=(4, 2))
    nodes, stream = [], "x"
    for block in range(blocks):
        nodes += _block(f"b{block}", 7 * block, stream, gated)
        stream = f"b{block}x2"
        weights |= {f"w{7 * block + index}": random.normal(size=(4, 4)) * 0.5 for index in range(7)}
    nodes += [
        helper.make_node("LayerNormalization", [stream, "one", "none"], ["n"], "norm"),
        helper.make_node("ReduceMean", ["n", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "head"], ["y"], "head"),
    ]
    return model(nodes, {"x": ["N", 3, 4]}, {"y": ["N", 2]}, weights)


def _block(b: str, first: int, x: str, gated: bool) -> list[onnx.NodeProto]:
    """Make a block that reads the value x and computes the value b + "x2"."""

    def node(operator: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
        return helper.make_node(operator, inputs, [b + output], f"{b}{output}", **attributes)

    def dense(x: str, index: int, output: str) -> onnx.NodeProto:
        return helper.make_node("MatMul", [x, f"w{first + index}"], [b + output], f"node{first + index}")

    gate = [dense(b + "n2", 6, "up"), node("Mul", [b + "a", b + "up"], "g")] if gated else []
    return [
        node("LayerNormalization", [x, "one", "none"], "n1"),
        *(dense(b + "n1", index, name) for index, name in enumerate("qkv")),
        node("Transpose", [b + "k"], "kt", perm=[0, 2, 1]),
        node("MatMul", [b + "q", b + "kt"], "s"),
        node("Mul", [b + "s", "root"], "scaled"),
        node("Softmax", [b + "scaled"], "p", axis=-1),
        node("MatMul", [b + "p", b + "v"], "c"),
        dense(b + "c", 3, "o"),
        node("Add", [x, b + "o"], "x1"),
        node("LayerNormalization", [b + "x1", "one", "none"], "n2"),
        dense(b + "n2", 4, "m"),
        node("Relu", [b + "m"], "a"),
        *gate,
        dense(b + ("g" if gated else "a"), 5, "d"),
        node("Add", [b + "x1", b + "d"], "x2"),
    ]


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
