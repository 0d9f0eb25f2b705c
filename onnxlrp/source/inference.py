"""Infer the types and shapes of every value from the inputs alone: by onnx, and node by node where onnx leaves them
open."""

from __future__ import annotations

from collections.abc import Callable

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import _c_api_utils

from onnxlrp.graph import node_inference
from onnxlrp.graph.call import content, graphs_of
from onnxlrp.graph.walks import made_by
from onnxlrp.operators.control_flow import Body, bodies
from onnxlrp.operators.quantised import DEPLOYED
from onnxlrp.source import resized_sizes
from onnxlrp.source.loggers import quiet
from onnxlrp.source.pools import settle
from onnxlrp.source.propagation import is_small
from onnxlrp.source.ranks import decided, demanded_rank
from onnxlrp.source.taught import is_taught, taught
from onnxlrp.source.valid.inner import inner_graphs

_LIKE_INPUT = frozenset({"GroupNormalization"})
"""Operators whose output has the shape of their input and for which onnx has no shape inference."""


def infer(model: ir.Model) -> None:
    """Infer the types and shapes of every value from the inputs alone.

    Shapes that the source declares inside the model are not trusted, except for the outputs of operators that neither
    ONNX nor the registry knows. An output of the model keeps the rank that it has so far if nothing else gives one.
    """
    ranks = {v: len(v.shape) for v in model.graph.outputs if v.shape is not None}
    quiet("onnx_ir")
    unsettled, nodes = True, list(model.graph.all_nodes())
    for body in model.graph.subgraphs():
        body.opset_imports.update(model.graph.opset_imports)
    while unsettled:
        for node in nodes:
            if is_taught(node):
                for value in node.outputs:
                    value.shape = None
        with taught(nodes, model.graph.opset_imports):
            _ask_library(model)
        _infer_the_rest(model.graph)
        while resized_sizes.correct(model.graph):
            _infer_the_rest(model.graph)
        unsettled = settle(model.graph)
    open_outputs = [v for v in model.graph.outputs if v.shape is None and v in ranks]
    for value in open_outputs:
        value.shape = ir.Shape([None] * ranks[value])
    if open_outputs:
        _infer_the_rest(model.graph)


def _ask_library(model: ir.Model) -> None:
    """Take over the types and shapes that onnx infers; onnx_ir's own pass would turn sequences and optionals into
    tensors."""

    def ask(proto: onnx.ModelProto) -> onnx.ModelProto:
        return onnx.shape_inference.infer_shapes(proto, check_type=False, strict_mode=False, data_prop=is_small(model))

    inputs, weights = list(model.graph.inputs), {v: v.const_value for v in model.graph.initializers.values()}
    try:
        proto = _c_api_utils.call_onnx_api(ask, model)
    except Exception:  # onnx raises exceptions of many kinds; the rest is inferred node by node
        # If onnx_ir cannot serialise the model, it leaves weights among the inputs, and large ones empty.
        model.graph.inputs[:] = inputs
        for value, tensor in weights.items():
            value.const_value = tensor
            model.graph.initializers.add(value)
        return
    _take_over(model.graph, proto.graph)


def _take_over(graph: ir.Graph, inferred: onnx.GraphProto) -> None:
    """Give the values of a graph the types and shapes that onnx inferred for its copy."""
    types = {v.name: v.type for v in (*inferred.input, *inferred.value_info, *inferred.output)}
    for value in (*graph.inputs, *(v for node in graph for v in node.outputs)):
        answer = types.get(str(value.name), onnx.TypeProto())
        if (shape := ir.serde.deserialize_type_proto_for_shape(answer)) is not None:
            value.shape = shape
        if (kind := ir.serde.deserialize_type_proto_for_type(answer)) is not None:
            value.type = kind
    for node, same in zip(graph, inferred.node, strict=True):
        for inner, answer in zip(graphs_of(node), inner_graphs(same), strict=True):
            _take_over(inner, answer)


def infer_forward(model: ir.Model, visit: Callable[[ir.Node], None]) -> None:
    """Infer what `infer` left open, node by node. `visit` is called with every node as soon as its operands are known,
    and may replace it by other nodes whose values are known; the nodes downstream then profit."""
    _infer_the_rest(model.graph, visit)


def _infer_the_rest(graph: ir.Graph, visit: Callable[[ir.Node], None] | None = None) -> None:
    """Infer node by node, in bodies too, what onnx leaves open downstream of loops and of operators that it lacks."""
    for node in list(graph):
        inner = bodies(node)
        if inner:
            _infer_bodies(node, inner, visit)
        elif any(v.shape is None or v.dtype is None or (visit and not v.shape.is_static()) for v in node.outputs):
            _infer_node(graph, node)
        for value in node.outputs:
            if value.shape is None and (rank := demanded_rank(value)) is not None:
                value.shape = ir.Shape([None] * rank)
        if visit is not None:
            visit(node)


def _infer_node(graph: ir.Graph, node: ir.Node) -> None:
    # A node that replaces a value of the model's own has that value as its first operand.
    if (node.op_type in _LIKE_INPUT or node.domain == DEPLOYED) and node.inputs[0] is not None:
        node.outputs[0].shape, node.outputs[0].type = node.inputs[0].shape, node.inputs[0].type
    elif is_taught(node):
        node.version = node.version or graph.opset_imports.get(node.domain)
        with taught([node], {}):
            node_inference.infer_outputs(node)
        node.metadata_props.pop(node_inference.ERROR, None)
    if node.op_type == "STFT" and node.outputs[0].shape is None:
        node.outputs[0].shape = _spectra(node)
    if node.op_type == "ConstantOfShape" and node.outputs[0].shape is None:
        node.outputs[0].shape = _shape_read(node.inputs[0])


def _shape_read(sizes: ir.Value | None) -> ir.Shape | None:
    """Find the shape of the value that a Shape node reads. onnx's inference loses this shape if an operator of another
    domain computes the value."""
    node = made_by(sizes, "Shape")
    x = None if node is None or node.attributes else node.inputs[0]
    return None if x is None else x.shape


def _spectra(node: ir.Node) -> ir.Shape:
    """Give the shape [N, frames, frequencies, 2 (real and imaginary)] of an STFT; onnx infers nothing if the length of
    the signal is unknown."""
    signal, window = node.inputs[0], node.inputs[2] if len(node.inputs) > 2 else None
    length = content(node.inputs[3]) if len(node.inputs) > 3 else None
    size = None if window is None or window.shape is None else window.shape[0]
    size = size if length is None else int(length.reshape(-1)[0])
    onesided = node.attributes.get("onesided")
    if isinstance(size, int) and (onesided is None or onesided.as_int()):
        size = size // 2 + 1
    samples = None if signal is None or signal.shape is None else signal.shape[0]
    return ir.Shape([samples, None, size if isinstance(size, int) else None, 2])


def _infer_bodies(node: ir.Node, inner: tuple[Body, ...], visit: Callable[[ir.Node], None] | None) -> None:
    """Infer the bodies of an If, Loop or Scan. A carried value keeps the shape that it starts with; if a step changes
    it, the sizes that change are unknown (all sizes are unknown while nodes are still being written out)."""
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
            if visit is not None and start.shape is not None:
                value.shape = ir.Shape([None] * len(start.shape))
        if body.states:
            # onnx treats no size of a state as fixed, but most sizes stay as they are at the start.
            _forget(body.graph)
        _infer_the_rest(body.graph, visit)
        changed = [_widen(value, out) for value, out, _, _ in body.states]
        if any(changed):
            _forget(body.graph)
            _infer_the_rest(body.graph)
        for value, out, _, result in body.states:
            node.outputs[result].type = node.outputs[result].type or out.type
            node.outputs[result].shape = value.shape
    taken = inner
    if node.op_type == "If" and any(v.shape is None for v in node.outputs):
        branch = decided(node.inputs[0])
        taken = inner if branch is None else (inner[0 if branch else 1],)
    for index, out in enumerate(node.outputs):
        ends = [v for body in taken for v, i in body.stacked if i == index]
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


def _forget(graph: ir.Graph) -> None:
    """Forget all shapes that can be inferred anew."""
    for node in graph:
        for value in node.outputs if is_taught(node) else ():
            value.shape = None


def _widen(value: ir.Value, out: ir.Value) -> bool:
    """Forget the sizes of a carried value that a step changes; returns True if there are any."""
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
