"""Models in another floating type, and relevance that float32 computes from the very values a narrow model had."""

from __future__ import annotations

from collections.abc import Mapping

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from tests.operators.case import OURS, onnxruntime

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


def on_rounded_weights(model: onnx.ModelProto, kind: int = TensorProto.FLOAT16) -> onnx.ModelProto:
    """In float32, on what weights become in a narrow type."""
    return in_type(in_type(model, kind), TensorProto.FLOAT)


def is_relevance(node: onnx.NodeProto) -> bool:
    """Whether a node of an explained model is not the model's own."""
    return any(entry.key == "onnxlrp.rule" for entry in node.metadata_props)


def on_the_same_values(
    half: onnx.ModelProto, wide: onnx.ModelProto, feeds: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Outputs of a model explained in float16 or bfloat16, every step rounded by onnx's reference evaluator, and those
    of the same model explained in float32 whose own nodes are gone: what they made is fed to its relevance part."""
    names = [o for n in wide.graph.node if not is_relevance(n) for o in n.output if o]
    observed, replayed = onnx.ModelProto(), onnx.ModelProto()
    observed.CopyFrom(half)
    replayed.CopyFrom(wide)
    known = {o.name for o in observed.graph.output}
    observed.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in names if n not in known)
    run = ReferenceEvaluator(observed, new_ops=[_rounding_once(operator) for operator in OURS])
    results_of = [o.name for o in observed.graph.output]
    found = dict(zip(results_of, map(np.asarray, run.run(None, dict(feeds))), strict=True))
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
    return value.astype(np.float32) if value.dtype in (np.float16, ml_dtypes.bfloat16) else value


def _rounding_once(operator: type[OpRun]) -> type[OpRun]:
    """The operator on bfloat16, of which NumPy's einsum knows nothing: in float32, rounded at its end."""

    def run(self, *operands, **attributes):
        found = operator._run(self, *(_wide(v) if _is_bfloat(v) else v for v in operands), **attributes)
        return tuple(v.astype(ml_dtypes.bfloat16) for v in found) if any(map(_is_bfloat, operands)) else found

    return type(operator.__name__, (operator,), {"_run": run, "op_domain": operator.op_domain})


def _is_bfloat(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == ml_dtypes.bfloat16


def furthest(ours: Array, theirs: Array) -> Array:
    """Of every sample the largest difference, relative to its largest value."""
    a, b = (v.astype(np.float64).reshape(len(v), -1) for v in (ours, theirs))
    return np.abs(a - b).max(1) / np.abs(b).max(1)


def distances(ours: Array, theirs: Array) -> Array:
    """Of every sample, relative."""
    a, b = (v.astype(np.float64).reshape(len(v), -1) for v in (ours, theirs))
    return np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)
