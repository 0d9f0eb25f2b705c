"""Models that the parts work on: the bundled ones, and a few layers built here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import onnxlrp

ROOT = Path(__file__).parents[2]
CPU = ["CPUExecutionProvider"]
SMALL = (
    *("breast_cancer_mlp/breast_cancer_mlp", "diabetes_regression/diabetes_regression", "wine_mlp/wine_mlp"),
    *("digits_cnn/digits_cnn.dynamo", "digits_cnn/digits_cnn.torchscript", "digits_lstm/digits_lstm"),
)
LARGE = "efficientnet_lite0/efficientnet_lite0"
COLUMNS, CLASSES, SIDE = 4, 3, 8


def bundled(name: str) -> Path:
    """Return the file of a model in models/."""
    return ROOT / "models" / f"{name}.onnx"


def linear(dtype: str) -> onnx.ModelProto:
    """Make y = x W for x [N, 4], whose relevance can be computed by hand."""
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    weights = numpy_helper.from_array(weights_of(COLUMNS).astype(dtype), "w")
    return _model([helper.make_node("MatMul", ["x", "w"], ["y"])], kind, ["N", COLUMNS], [weights])


def words() -> onnx.ModelProto:
    """Make a model of token ids [N, T], whose vectors are added up."""
    table = np.random.default_rng(1).normal(size=(20, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "x"], ["e"]),
        helper.make_node("ReduceSum", ["e", "axis"], ["y"], keepdims=0),
    ]
    tensors = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1]), "axis")]
    return _model(nodes, TensorProto.INT64, ["N", "T"], tensors)


def pictures() -> onnx.ModelProto:
    """Make a model of pictures [N, 3, 8, 8]."""
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("MatMul", ["f", "w"], ["y"])]
    weights = numpy_helper.from_array(weights_of(3 * SIDE * SIDE), "w")
    return _model(nodes, TensorProto.FLOAT, ["N", 3, SIDE, SIDE], [weights])


def weights_of(rows: int) -> np.ndarray:
    """Draw the weights of a layer with three outputs."""
    return np.random.default_rng(0).normal(size=(rows, CLASSES)).astype(np.float32)


def explainer(model: object, composite: str = "epsilon", **options: object) -> onnxlrp.Explainer:
    """Convert a model and open it on the CPU."""
    return onnxlrp.Explainer(onnxlrp.convert(model, composite, **options), providers=CPU)


def random_inputs(explained: onnxlrp.Explainer, rows: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw numbers for every input, for `rows` samples."""
    return {
        name: rng.normal(
            size=[rows, *(size if isinstance(size, int) else 8 for size in (spec.shape or ())[1:])]
        ).astype(spec.dtype)
        for name, spec in explained.inputs.items()
    }


def _model(nodes: list, kind: int, shape: list, tensors: list) -> onnx.ModelProto:
    of = TensorProto.FLOAT if kind == TensorProto.INT64 else kind
    x, y = helper.make_tensor_value_info("x", kind, shape), helper.make_tensor_value_info("y", of, ["N", CLASSES])
    graph = helper.make_graph(nodes, "g", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
