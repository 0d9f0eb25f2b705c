"""State the laws that a model satisfies once it has been read, and once it is canonical. Tests assert them between the
stages.

A law is a function whose name is the sentence; it yields what violates the sentence.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.graph.provenance import is_replaced
from onnxlrp.graph.well_formed import STRUCTURE, Law, repeated, violations
from onnxlrp.source.constants import constants
from onnxlrp.source.opsets import OPSET


def check_read(model: ir.Model) -> list[str]:
    """List violations of the laws that `read` ensures."""
    return violations(model, READ)


def check_canonical(model: ir.Model) -> list[str]:
    """List violations of the laws that `canonicalise` ensures."""
    return violations(model, CANONICAL)


def the_opset_is_ours_or_newer(model: ir.Model) -> Iterator[str]:
    """Yield an opset below ours: older models are lifted, and newer ones are lowered if the library can."""
    if model.graph.opset_imports.get("", 0) < OPSET:
        yield str(model.graph.opset_imports.get(""))


def functions_are_written_out(model: ir.Model) -> Iterator[str]:
    yield from (str(name) for name in model.functions)


def constants_are_initializers(model: ir.Model) -> Iterator[str]:
    yield from (str(n.name) for n in _plain(model, "Constant") if not n.outputs[0].is_graph_output())


def initializers_are_no_inputs(model: ir.Model) -> Iterator[str]:
    yield from (str(v.name) for v in model.graph.inputs if v.name in model.graph.initializers)


def initializers_know_their_type_and_shape(model: ir.Model) -> Iterator[str]:
    for graph in (model.graph, *model.graph.subgraphs()):
        yield from (name for name, v in graph.initializers.items() if v.dtype is None or v.shape is None)


def values_know_their_type(model: ir.Model) -> Iterator[str]:
    """Yield the values without a type: relevance goes to floats only, so such a value would get none. Two kinds may
    lack a type, since no relevance goes to them: values downstream of unknown operators, and constants that are
    outputs."""
    for node in _plain(model):
        if node.op_type != "Constant" and all(v is None or v.type is not None for v in node.inputs):
            yield from (str(v.name) for v in node.outputs if v.type is None and (v.uses() or v.is_graph_output()))


def node_names_tell_nodes_apart(model: ir.Model) -> Iterator[str]:
    """Yield node names that occur twice: overrides and messages name a node, wherever it lies."""
    yield from repeated(node.name for node in model.graph.all_nodes())


READ: tuple[Law, ...] = (
    *STRUCTURE,
    node_names_tell_nodes_apart,
    the_opset_is_ours_or_newer,
    functions_are_written_out,
    constants_are_initializers,
    initializers_are_no_inputs,
    initializers_know_their_type_and_shape,
    values_know_their_type,
)


def every_node_is_needed(model: ir.Model) -> Iterator[str]:
    for node in model.graph:
        if not any(v.uses() or v.is_graph_output() for v in node.outputs):
            yield str(node.name)


def large_weights_lie_outside_of_bodies(model: ir.Model) -> Iterator[str]:
    for graph in model.graph.subgraphs():
        ends = {*graph.inputs, *graph.outputs}
        for name, value in graph.initializers.items():
            if value not in ends and value.const_value is not None and value.const_value.size > 1024:
                yield name


def casts_name_their_type(model: ir.Model) -> Iterator[str]:
    for node in _plain(model, "CastLike"):
        if node.inputs[1] is not None and node.inputs[1].dtype is not None:
            yield str(node.name)


def identities_compute_outputs_only(model: ir.Model) -> Iterator[str]:
    yield from (str(n.name) for n in _plain(model, "Identity") if not n.outputs[0].is_graph_output())


def products_have_no_factors(model: ir.Model) -> Iterator[str]:
    yield from (str(n.name) for n in _plain(model, "Gemm") if {"alpha", "beta"} & set(n.attributes))


def data_is_not_transposed_in_products(model: ir.Model) -> Iterator[str]:
    constant = constants(model.graph)
    for node in _plain(model, "Gemm"):
        for name, operand in (("transA", 0), ("transB", 1)):
            if Call.of(node).attr(name, 0) and node.inputs[operand] not in constant:
                yield str(node.name)


def products_of_data_are_of_matrices(model: ir.Model) -> Iterator[str]:
    constant = constants(model.graph)
    for node in _plain(model, "MatMul"):
        vector = any(v is not None and v.shape is not None and len(v.shape) == 1 for v in node.inputs)
        if vector and node.outputs[0] not in constant:
            yield str(node.name)


def batch_norms_belong_to_layers(model: ir.Model) -> Iterator[str]:
    """Yield each batch norm with constant parameters that is the only reader of a convolution with a constant
    weight."""
    constant, layers = constants(model.graph), set(_plain(model, "Conv", "ConvTranspose"))
    for node in _plain(model, "BatchNormalization"):
        x = node.inputs[0]
        layer = None if x is None else x.producer()
        alone = x is not None and len(x.uses()) == 1 and not x.is_graph_output() and x.shape is not None
        if not alone or layer is None or layer not in layers:
            continue
        known = all(v in constant for v in (*layer.inputs[1:], *node.inputs[1:]) if v is not None)
        if known and not Call.of(node).attr("training_mode", 0):
            yield str(node.name)


def lists_of_known_tensors_are_taken_apart(model: ir.Model) -> Iterator[str]:
    for node in _plain(model, "ConcatFromSequence", "SequenceLength"):
        maker = None if node.inputs[0] is None else node.inputs[0].producer()
        if maker is not None and maker.op_type == "SequenceConstruct" and maker.domain == "":
            yield str(node.name)


CANONICAL: tuple[Law, ...] = (
    *READ,
    every_node_is_needed,
    large_weights_lie_outside_of_bodies,
    casts_name_their_type,
    identities_compute_outputs_only,
    products_have_no_factors,
    data_is_not_transposed_in_products,
    products_of_data_are_of_matrices,
    batch_norms_belong_to_layers,
    lists_of_known_tensors_are_taken_apart,
)


def _plain(model: ir.Model, *operators: str) -> list[ir.Node]:
    """List the nodes of some of ONNX's own operators, or of all if none are named, without those that must run as they
    are deployed."""
    own = (n for n in model.graph.all_nodes() if n.domain == "" and onnx.defs.has(n.op_type))
    every = (n for n in own if not is_replaced(n))
    return [n for n in every if not operators or n.op_type in operators]
