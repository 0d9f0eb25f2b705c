"""Models in another floating type, and relevance that float32 computes from the very values a float16 model had."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.operators.case import onnxruntime, reference

Array = np.ndarray

FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}


def in_type(model: onnx.ModelProto, kind: int, scales: Mapping[str, float] | None = None) -> onnx.ModelProto:
    """The model with all its floats in one type; `scales`: of some weights, by name."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for value in (*made.graph.input, *made.graph.output):
        if value.type.tensor_type.elem_type in FLOATS:
            value.type.tensor_type.elem_type = kind
    constants = [a.t for n in made.graph.node for a in n.attribute if a.HasField("t")]
    for tensor in (*made.graph.initializer, *constants):
        if tensor.data_type in FLOATS:
            array = numpy_helper.to_array(tensor) * (scales or {}).get(tensor.name, 1.0)
            tensor.CopyFrom(numpy_helper.from_array(array.astype(helper.tensor_dtype_to_np_dtype(kind)), tensor.name))
    for node in made.graph.node:
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i in FLOATS:
                attribute.i = kind
    del made.graph.value_info[:]
    return made


def on_rounded_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """In float32, on what weights become in float16."""
    return in_type(in_type(model, TensorProto.FLOAT16), TensorProto.FLOAT)


def is_relevance(node: onnx.NodeProto) -> bool:
    """Whether a node of an explained model is not the model's own."""
    return any(entry.key == "onnxlrp.rule" for entry in node.metadata_props)


def on_the_same_values(
    half: onnx.ModelProto, wide: onnx.ModelProto, feeds: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Outputs of an explained float16 model, every step rounded by onnx's reference evaluator, and those of the same
    model explained in float32 whose own nodes are gone: what they made in float16 is fed to its relevance part."""
    names = [o for n in wide.graph.node if not is_relevance(n) for o in n.output if o]
    observed, replayed = onnx.ModelProto(), onnx.ModelProto()
    observed.CopyFrom(half)
    replayed.CopyFrom(wide)
    known = {o.name for o in observed.graph.output}
    observed.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in names if n not in known)
    found = reference(observed)(feeds)
    values = {name: _wide(found[name]) for name in names}
    graph = replayed.graph
    kept = [n for n in graph.node if is_relevance(n)]
    results = [o for o in graph.output if o.name not in values]
    for part in (graph.node, graph.output, graph.value_info):
        del part[:]
    graph.node.extend(kept)
    graph.output.extend(results)
    graph.input.extend(
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in values.items()
    )
    return found, onnxruntime(replayed)({**{k: _wide(v) for k, v in feeds.items()}, **values})


def _wide(value: Array) -> Array:
    return value.astype(np.float32) if value.dtype == np.float16 else value


def furthest(ours: Array, theirs: Array) -> Array:
    """Of every sample the largest difference, relative to its largest value."""
    a, b = (v.astype(np.float64).reshape(len(v), -1) for v in (ours, theirs))
    return np.abs(a - b).max(1) / np.abs(b).max(1)


def distances(ours: Array, theirs: Array) -> Array:
    """Of every sample, relative."""
    a, b = (v.astype(np.float64).reshape(len(v), -1) for v in (ours, theirs))
    return np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)
