"""Types and shapes of every value, from the inputs alone: what the library finds, and what it leaves open."""

from __future__ import annotations

import logging

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as passes
from onnxscript._internal._inference import infer_outputs

from onnxlrp.operators.control_flow import Body, bodies
from onnxlrp.source.pools import settle
from onnxlrp.source.ranks import demanded_rank

_INFERENCE_ERROR = "pkg.onnxscript.shape_inference_error"
_LIKE_INPUT = frozenset({"GroupNormalization"})
"""Operators whose output has the shape of their input, which onnx has no inference for."""


def infer(model: ir.Model) -> None:
    """Types and shapes of every value from the inputs alone.

    What the source declares inside is not trusted, but for the outputs of operators that ONNX does not know.
    """
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)
    unsettled = True
    for body in model.graph.subgraphs():
        body.opset_imports.update(model.graph.opset_imports)
    while unsettled:
        for node in model.graph.all_nodes():
            if onnx.defs.has(node.op_type, domain=node.domain):
                for value in node.outputs:
                    value.shape = None
        passes.ShapeInferencePass(check_type=False, strict_mode=False, data_prop=True)(model)
        _infer_the_rest(model.graph)
        unsettled = settle(model.graph)


def _infer_the_rest(graph: ir.Graph) -> None:
    """Node by node, in bodies as well: what the library leaves open behind loops and operators that it lacks."""
    for node in graph:
        inner = bodies(node)
        if inner:
            _infer_bodies(node, inner)
        elif all(v.shape is not None and v.dtype is not None for v in node.outputs):
            continue
        elif node.op_type in _LIKE_INPUT and node.inputs[0] is not None:
            node.outputs[0].shape, node.outputs[0].type = node.inputs[0].shape, node.inputs[0].type
        elif node.domain == "":
            node.version = node.version or graph.opset_imports.get("")
            infer_outputs(node)
            node.metadata_props.pop(_INFERENCE_ERROR, None)
        for value in node.outputs:
            if value.shape is None and (rank := demanded_rank(value)) is not None:
                value.shape = ir.Shape([None] * rank)


def _infer_bodies(node: ir.Node, inner: tuple[Body, ...]) -> None:
    """Inside an If, Loop or Scan: carried values are taken to keep the shape they start with, and where a step changes
    it, to have no fixed size along what changes."""
    for body in inner:
        axes = _axes(node, "scan_input_axes", len(body.slices))
        for (value, operand), axis in zip(body.slices, axes, strict=True):
            source = node.inputs[operand]
            if source is not None and source.shape is not None:
                rest = list(source.shape)
                del rest[axis % len(rest)]
                value.shape = ir.Shape(rest)
            value.type = value.type or (None if source is None else source.type)
        for value, _, operand, _ in body.states:
            start = node.inputs[operand]
            assert start is not None
            value.shape, value.type = start.shape, value.type or start.type
        _infer_the_rest(body.graph)
        changed = [_widen(value, out) for value, out, _, _ in body.states]
        if any(changed):
            for inside in body.graph:
                for made in inside.outputs:
                    made.shape = None
            _infer_the_rest(body.graph)
        for value, out, _, result in body.states:
            node.outputs[result].type = node.outputs[result].type or out.type
            node.outputs[result].shape = value.shape
    for index, out in enumerate(node.outputs):
        ends = [v for body in inner for v, i in body.stacked if i == index]
        if not ends or any(v.shape is None for v in ends):
            continue
        out.type = out.type or ends[0].type
        shapes: list[list[int | ir.SymbolicDim | None]] = [list(v.shape) for v in ends if v.shape is not None]
        if node.op_type != "If":
            axis = _axes(node, "scan_output_axes", len(inner[0].stacked))[index - len(inner[0].states)]
            shapes[0].insert(axis % (len(shapes[0]) + 1), None)
        if len({len(shape) for shape in shapes}) == 1:
            same = [dims[0] if all(d == dims[0] for d in dims) else None for dims in zip(*shapes, strict=True)]
            out.shape = ir.Shape(same)


def _widen(value: ir.Value, out: ir.Value) -> bool:
    """Forget the sizes that a step changes; whether there were any."""
    if value.shape is None or value.shape == out.shape:
        return False
    if out.shape is None or len(out.shape) != len(value.shape):
        value.shape = None
    else:
        value.shape = ir.Shape([a if a == b else None for a, b in zip(value.shape, out.shape, strict=True)])
    return True


def _axes(node: ir.Node, name: str, count: int) -> list[int]:
    attribute = node.attributes.get(name)
    return [0] * count if attribute is None else [int(i) for i in attribute.as_ints()]
