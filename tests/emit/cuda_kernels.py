"""The check that every node of the relevance part has a CUDA kernel; it needs no GPU.

`cuda_kernels.json` is the kernel registry of onnxruntime-gpu 1.31.1: per operator its opset ranges and types.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx

KERNELS = json.loads(Path(__file__).with_suffix(".json").read_text())["kernels"]


def name_of(element_type: int) -> str:
    return onnx.TensorProto.DataType.Name(element_type).lower()


def missing(model: onnx.ModelProto) -> list[str]:
    """Every node of the relevance part without a kernel: operator, types and the step it came from."""
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    opsets = {o.domain: o.version for o in model.opset_import}
    return sorted(set(_missing(inferred.graph, opsets, {}, inside=False)))


def _missing(
    graph: onnx.GraphProto, opsets: Mapping[str, int], outer: Mapping[str, str], inside: bool
) -> Iterator[str]:
    types = dict(outer)
    types.update(
        {v.name: name_of(v.type.tensor_type.elem_type) for v in (*graph.input, *graph.value_info, *graph.output)}
    )
    types.update({t.name: name_of(t.data_type) for t in graph.initializer})
    for node in graph.node:
        label = {p.key: p.value for p in node.metadata_props}.get("onnxlrp.rule")
        if label is not None or inside:
            reason = without_kernel(node, opsets[node.domain], types)
            if reason and label not in COPIES:
                yield f"{reason} ({label or 'in a body'})"
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _missing(attribute.g, opsets, types, inside or label not in (None, SWITCH))


SWITCH = "on demand"
"""Label of the If that computes relevance on demand; its branches hold the model's own nodes too."""
COPIES = ("the model at the baseline", "the model at a point")
"""Labels of copies of the model's own nodes, which have a kernel where the model's have one."""


def without_kernel(node: onnx.NodeProto, opset: int, types: Mapping[str, str]) -> str | None:
    if node.op_type == "Constant":
        return None
    schema = onnx.defs.get_schema(node.op_type, opset, node.domain)
    kernels = KERNELS.get(f"{node.domain or 'ai.onnx'}::{node.op_type}", [])
    bound = _bindings(node, schema, types)
    if "string" in bound.values():
        return None  # labels that the model itself makes of words: no kernel of CUDA takes those
    for kernel in kernels:
        if kernel["since"] <= schema.since_version and (
            kernel["until"] is None or schema.since_version <= kernel["until"]
        ):
            for allowed in kernel["types"]:
                if all(kind in allowed.get(name, [kind]) for name, kind in bound.items()):
                    return None
    return f"{node.op_type}-{opset} {bound}"


def _bindings(node: onnx.NodeProto, schema: onnx.defs.OpSchema, types: Mapping[str, str]) -> dict[str, str]:
    """Type variables, and operands by their names, with the types they have in this node."""
    bound = {}
    for names, formals in ((node.input, schema.inputs), (node.output, schema.outputs)):
        for index, name in enumerate(names):
            formal = formals[min(index, len(formals) - 1)]
            if name:
                assert name in types, f"the type of {name!r}, {node.op_type} {node.name}, cannot be inferred"
                # Heterogeneous operands (of Scan, Loop) share a variable: any of their types must do.
                bound[formal.type_str] = bound[formal.name] = types[name]
    return bound


def report(model: onnx.ModelProto) -> None:
    offending = missing(model)
    assert not offending, "no CUDA kernel for\n  " + "\n  ".join(offending)
