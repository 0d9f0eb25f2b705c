"""Single nodes as models: what the tests run on the reference evaluator without building a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.oracle.reference import run

OPSET = 21


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str | None]],
    outputs: Sequence[str],
    constants: Mapping[str, np.ndarray] | None = None,
    dtype: int = TensorProto.DOUBLE,
    opset: int = OPSET,
    output_shapes: Mapping[str, Sequence[int | str | None]] | None = None,
) -> onnx.ModelProto:
    """Nodes, inputs of one type and constants, put together."""
    shapes = output_shapes or {}
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info(name, dtype, list(shape)) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, dtype, shapes.get(name)) for name in outputs],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def run_node(op: str, *arrays: np.ndarray | None, outputs: int = 1, opset: int = OPSET, **attributes):
    """One node on these inputs; a list of arrays where it has several outputs."""
    names = ["" if array is None else f"in{i}" for i, array in enumerate(arrays)]
    results = [f"out{i}" for i in range(outputs)]
    given = {name: array for name, array in zip(names, arrays, strict=True) if array is not None}
    node = helper.make_node(op, names, results, **attributes)
    graph = helper.make_graph(
        [node],
        "node",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in given.items()
        ],
        [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in results],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    values = list(run(model, given).values())
    return values[0] if outputs == 1 else values
