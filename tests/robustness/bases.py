"""Small models of every kind, which mutants are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
_RNG = np.random.default_rng(0)


def _weights(*shape: int) -> np.ndarray:
    return _RNG.normal(size=shape).astype(np.float32) / 2


def _info(name: str, shape: Sequence[int | str] | None, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _model(
    nodes: Sequence[onnx.NodeProto],
    x: Sequence[int | str],
    y: Sequence[int | str],
    constants: Mapping[str, np.ndarray],
    opset: int = 17,
    more: Sequence[onnx.ValueInfoProto] = (),
    **options: Any,
) -> onnx.ModelProto:
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "base", [_info("x", x), *more], [_info("y", y)], tensors)
    opsets = [helper.make_opsetid("", opset), *options.pop("opsets", ())]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, **options)


def mlp() -> onnx.ModelProto:
    """Two dense layers and a softmax."""
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], "dense", transB=0),
        helper.make_node("Relu", ["h"], ["a"], "relu"),
        helper.make_node("Gemm", ["a", "v"], ["z"], "head"),
        helper.make_node("Softmax", ["z"], ["y"], "softmax", axis=-1),
    ]
    return _model(nodes, ["N", 4], ["N", 3], {"w": _weights(4, 5), "b": _weights(5), "v": _weights(5, 3)})


def cnn() -> onnx.ModelProto:
    """A convolution with a norm, pools and a dense layer."""
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["c"], "conv", pads=[1, 1, 1, 1], strides=[1, 1]),
        helper.make_node("BatchNormalization", ["c", "s", "t", "m", "u"], ["n"], "norm", epsilon=1e-5),
        helper.make_node("Relu", ["n"], ["a"], "relu"),
        helper.make_node("MaxPool", ["a"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["p"], ["g"], "mean"),
        helper.make_node("Flatten", ["g"], ["f"], "flat", axis=1),
        helper.make_node("Gemm", ["f", "w"], ["y"], "head", transB=1),
    ]
    scale = {name: np.abs(_weights(3)) + 1 for name in "stmu"}
    return _model(nodes, ["N", 2, 6, 6], ["N", 3], {"k": _weights(3, 2, 3, 3), "w": _weights(3, 3), **scale}, 13)


def lstm() -> onnx.ModelProto:
    """An LSTM whose last state is classified."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], "time", perm=[1, 0, 2]),
        helper.make_node("LSTM", ["t", "w", "r", "b"], ["", "h"], "lstm", hidden_size=3),
        helper.make_node("Squeeze", ["h", "first"], ["s"], "last"),
        helper.make_node("MatMul", ["s", "v"], ["y"], "head"),
    ]
    weights = {"w": _weights(1, 12, 2), "r": _weights(1, 12, 3), "b": _weights(1, 24), "v": _weights(3, 2)}
    return _model(nodes, ["N", 4, 2], ["N", 2], {**weights, "first": np.array([0], np.int64)}, 14)


def attention() -> onnx.ModelProto:
    """One head of attention with a norm."""
    nodes = [
        helper.make_node("MatMul", ["x", "q"], ["xq"], "queries"),
        helper.make_node("MatMul", ["x", "k"], ["xk"], "keys"),
        helper.make_node("MatMul", ["x", "v"], ["xv"], "values"),
        helper.make_node("Transpose", ["xk"], ["kt"], "turn", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["xq", "kt"], ["scores"], "scores"),
        helper.make_node("Div", ["scores", "root"], ["scaled"], "scale"),
        helper.make_node("Softmax", ["scaled"], ["p"], "softmax", axis=-1),
        helper.make_node("MatMul", ["p", "xv"], ["mixed"], "mix"),
        helper.make_node("Add", ["mixed", "x"], ["sum"], "residual"),
        helper.make_node("LayerNormalization", ["sum", "g", "b"], ["n"], "norm", axis=-1),
        helper.make_node("ReduceMean", ["n"], ["m"], "mean", axes=[1], keepdims=0),
        helper.make_node("Gemm", ["m", "w"], ["y"], "head"),
    ]
    weights = {name: _weights(4, 4) for name in "qkv"} | {"w": _weights(4, 3), "g": _weights(4), "b": _weights(4)}
    return _model(nodes, ["N", 3, 4], ["N", 3], {**weights, "root": np.array(2, np.float32)})


def branch() -> onnx.ModelProto:
    """An If whose branches scale or square."""
    scale = helper.make_node("Mul", ["h", "two"], ["d"], "double")
    square = helper.make_node("Mul", ["h", "h"], ["e"], "square")
    doubled = helper.make_graph([scale], "then", [], [_info("d", None)])
    squared = helper.make_graph([square], "else", [], [_info("e", None)])
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["h"], "dense"),
        helper.make_node("If", ["flag"], ["c"], "choice", then_branch=doubled, else_branch=squared),
        helper.make_node("Gemm", ["c", "v"], ["y"], "head"),
    ]
    constants = {"w": _weights(4, 4), "v": _weights(4, 2), "two": np.array(2, np.float32)}
    return _model(nodes, ["N", 4], ["N", 2], constants, 16, [_info("flag", [1], BOOL)])


def loop() -> onnx.ModelProto:
    """A Loop of three steps that carries a state and stacks it."""
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "w"], ["m"], "step"),
            helper.make_node("Tanh", ["m"], ["next"], "tanh"),
            helper.make_node("Identity", ["go"], ["goes"], "condition"),
            helper.make_node("Identity", ["next"], ["seen"], "record"),
        ],
        "body",
        [_info("i", [], INT64), _info("go", [], BOOL), _info("state", None)],
        [_info("goes", [], BOOL), _info("next", None), _info("seen", None)],
    )
    nodes = [
        helper.make_node("Loop", ["three", "yes", "x"], ["last", "all"], "loop", body=body),
        helper.make_node("ReduceSum", ["all", "zero"], ["sum"], "sum", keepdims=0),
        helper.make_node("Add", ["last", "sum"], ["both"], "add"),
        helper.make_node("Gemm", ["both", "v"], ["y"], "head"),
    ]
    numbers = {"three": np.array(3, np.int64), "yes": np.array(True), "zero": np.array([0], np.int64)}
    return _model(nodes, ["N", 4], ["N", 2], {"w": _weights(4, 4), "v": _weights(4, 2), **numbers}, 15)


def scan() -> onnx.ModelProto:
    """A Scan that adds up along time."""
    body = helper.make_graph(
        [
            helper.make_node("Add", ["state", "slice"], ["next"], "add"),
            helper.make_node("Relu", ["next"], ["out"], "relu"),
        ],
        "body",
        [_info("state", None), _info("slice", None)],
        [_info("next", None), _info("out", None)],
    )
    nodes = [
        helper.make_node("Scan", ["start", "x"], ["last", "all"], "scan", body=body, num_scan_inputs=1),
        helper.make_node("Gemm", ["last", "w"], ["y"], "head"),
    ]
    constants = {"start": np.zeros((2, 4), np.float32), "w": _weights(4, 3)}
    return _model(nodes, [3, 2, 4], [2, 3], constants, 17)


def quantised() -> onnx.ModelProto:
    """A dense layer between QuantizeLinear and DequantizeLinear."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"], "quantise"),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"], "dequantise"),
        helper.make_node("DequantizeLinear", ["wq", "t", "o"], ["w"], "weight", axis=1),
        helper.make_node("MatMul", ["xd", "w"], ["h"], "dense"),
        helper.make_node("Relu", ["h"], ["a"], "relu"),
        helper.make_node("MatMul", ["a", "v"], ["y"], "head"),
    ]
    constants = {"s": np.array(0.05, np.float32), "z": np.array(128, np.uint8), "v": _weights(5, 3)}
    weight = {
        "wq": _RNG.integers(-100, 100, (4, 5)).astype(np.int8),
        "t": np.full(5, 0.02, np.float32),
        "o": np.zeros(5, np.int8),
    }
    return _model(nodes, ["N", 4], ["N", 3], {**constants, **weight}, 13)


def trees() -> onnx.ModelProto:
    """Two trees of depth one."""
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        "trees",
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=[0, 0, 0, 1, 1, 1],
        nodes_nodeids=[0, 1, 2, 0, 1, 2],
        nodes_featureids=[0, 0, 0, 2, 0, 0],
        nodes_values=[0.1, 0.0, 0.0, -0.2, 0.0, 0.0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"] * 2,
        nodes_truenodeids=[1, 0, 0, 1, 0, 0],
        nodes_falsenodeids=[2, 0, 0, 2, 0, 0],
        nodes_hitrates=[1.0] * 6,
        nodes_missing_value_tracks_true=[0] * 6,
        target_treeids=[0, 0, 1, 1],
        target_nodeids=[1, 2, 1, 2],
        target_ids=[0, 0, 0, 0],
        target_weights=[1.0, 2.0, -1.0, 0.5],
    )
    return _model([node], ["N", 4], ["N", 1], {}, 15, opsets=[helper.make_opsetid("ai.onnx.ml", 3)])


def function() -> onnx.ModelProto:
    """A dense layer that is a function of the model's own, called twice."""
    dense = helper.make_function(
        "my.layers",
        "Dense",
        ["a", "b"],
        ["c"],
        [helper.make_node("MatMul", ["a", "b"], ["m"], "product"), helper.make_node("Relu", ["m"], ["c"], "relu")],
        [helper.make_opsetid("", 18)],
    )
    nodes = [
        helper.make_node("Dense", ["x", "w"], ["h"], "first", domain="my.layers"),
        helper.make_node("Dense", ["h", "v"], ["y"], "second", domain="my.layers"),
    ]
    constants, opsets = {"w": _weights(4, 5), "v": _weights(5, 3)}, [helper.make_opsetid("my.layers", 1)]
    return _model(nodes, ["N", 4], ["N", 3], constants, 18, opsets=opsets, functions=[dense])


BASES: tuple[Callable[[], onnx.ModelProto], ...] = (
    *(mlp, cnn, lstm, attention, branch),
    *(loop, scan, quantised, trees, function),
)
