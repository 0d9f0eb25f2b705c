"""Compute a value of the graph in float64 before the model runs, with ONNX's reference evaluator."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir
from onnx import ModelProto, NodeProto, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from onnxlrp.memory import GROWING, check_elements, most_elements
from onnxlrp.operators.registry import Call, content, find

_MOST_NODES = 64
"""Nodes of a computation that is tried; elementwise regions have about ten."""
_ANY_SIZE = 1 << 20
"""Elements that operands are broadcast to without anybody asking."""
_LARGEST = 1 << 16
"""Elements of a constant that is looked at."""


def evaluate(result: ir.Value, given: Mapping[ir.Value, np.ndarray]) -> np.ndarray | None:
    """The content of `result` where some values upstream of it are replaced by float64 arrays.

    Casts between floats, quantisation and the operators that only round are left out. Returns None where a constant is
    unknown or large, where the computation is long, or where the reference evaluator does not know an operator.
    """
    if result in given:
        return given[result]
    if result.const_value is not None:
        return _wide(result).astype(np.float64)
    nodes = _upstream(result, given)
    if nodes is None:
        return None
    made = {v for n in nodes for v in n.outputs}
    leaves = {v for n in nodes for v in n.inputs if v is not None and v not in made and v not in given}
    read = {v for v in leaves if _looked_at(v)}
    # A node that rounds is left out, so that its scales need not be known.
    if not all(v in read or all(_rounds(u.node) for u in v.uses() if u.node in nodes) for v in leaves):
        return None
    feeds = {v: np.asarray(a, np.float64) for v, a in given.items()}
    try:
        values = run_nodes([_node(n) for n in nodes], feeds, {v: _wide(v) for v in read}, result, _versions(nodes))
    except Exception:  # the evaluator raises whatever its operators raise
        return None
    return values.astype(np.float64)


def evaluate_at(result: ir.Value, operand: ir.Value, values: np.ndarray) -> np.ndarray | None:
    """Evaluate an elementwise function of one operand at values that broadcast to the operand's shape.

    Returns None as `evaluate` does. The result varies along the axes of the values and of constants on the way.
    """
    shape = np.broadcast_shapes(values.shape, (1,) * len(operand.shape or ()))
    return evaluate(result, {operand: np.broadcast_to(values, shape)})


def run_nodes(
    nodes: Sequence[NodeProto],
    given: Mapping[ir.Value, np.ndarray],
    constants: Mapping[ir.Value, np.ndarray],
    result: ir.Value,
    versions: Mapping[str, int],
) -> np.ndarray:
    """The content of `result` after some nodes have run in their order, without warnings of their numbers.

    `versions` are those of the operator sets, by domain. Raises InvalidModelError, before anything is computed, where a
    node asks for too many elements, and whatever the reference evaluator raises.
    """
    graph = helper.make_graph(
        nodes,
        "computation",
        [helper.make_empty_tensor_value_info(str(v.name)) for v in given],
        [helper.make_empty_tensor_value_info(str(result.name))],
        [numpy_helper.from_array(array, str(v.name)) for v, array in constants.items()],
    )
    opsets = [helper.make_opsetid(domain, versions.get(domain) or 1) for domain in sorted({n.domain for n in nodes})]
    model = helper.make_model(graph, opset_imports=opsets)
    _check_sizes(model, {str(v.name): a for v, a in given.items()}, constants.values())
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        evaluator = ReferenceEvaluator(model)
        (values,) = evaluator.run(None, {str(v.name): array for v, array in given.items()})
    return np.asarray(values)


def _check_sizes(model: ModelProto, given: Mapping[str, np.ndarray], constants: Iterable[np.ndarray]) -> None:
    """Raise InvalidModelError where a node makes too many elements, or nobody can say how many."""
    grow = any(n.op_type in GROWING for n in model.graph.node)
    try:
        shape = np.broadcast_shapes(*(a.shape for a in (*given.values(), *constants)))
    except ValueError:
        shape = (_ANY_SIZE,)
    if not grow and math.prod(shape) < _ANY_SIZE:
        return
    sketch = ModelProto()
    sketch.CopyFrom(model)
    for value in sketch.graph.input:
        array, kind = given[value.name], helper.np_dtype_to_tensor_dtype(given[value.name].dtype)
        value.CopyFrom(helper.make_tensor_value_info(value.name, kind, array.shape))
    inferred = shape_inference.infer_shapes(sketch).graph
    values = (*inferred.value_info, *inferred.output)
    sizes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}
    for node in model.graph.node:
        what = f"{node.op_type} node {node.name!r}"
        if node.op_type in GROWING and node.output[0] not in sizes:
            check_elements([most_elements() + 1], what)
        for name in node.output:
            check_elements(sizes.get(name, ()), what)


def _upstream(result: ir.Value, given: Mapping[ir.Value, np.ndarray]) -> list[ir.Node] | None:
    """The nodes between some values and another, in their order; None where they are many."""
    found: dict[ir.Node, None] = {}
    ordered: list[ir.Node] = []
    waiting = [(result.producer(), False)]
    while waiting:
        node, operands_done = waiting.pop()
        if node is None or (node in found and not operands_done):
            continue
        if operands_done:
            ordered.append(node)
            continue
        found[node] = None
        if len(found) > _MOST_NODES:
            return None
        waiting.append((node, True))
        operands = [_rounded(node)] if _rounds(node) else node.inputs
        waiting += [(v.producer(), False) for v in operands if v is not None and v not in given]
    return ordered


def _looked_at(value: ir.Value) -> bool:
    return value.const_value is not None and value.const_value.size <= _LARGEST


def _wide(value: ir.Value) -> np.ndarray:
    array = content(value)
    assert array is not None
    return array.astype(np.float64) if value.dtype is not None and value.dtype.is_floating_point() else array


def _rounds(node: ir.Node) -> bool:
    """Decide whether a node gives one of its operands, as float64 has it: it quantises, or casts a float to a float."""
    entry = find(node)
    if node.op_type == "Cast" and node.domain == "":
        source, target = node.inputs[0], node.outputs[0]
        kinds = [v.dtype for v in (source, target) if v is not None and v.dtype is not None]
        return len(kinds) == 2 and all(kind.is_floating_point() for kind in kinds)
    return entry is not None and entry.rounding


def _rounded(node: ir.Node) -> ir.Value:
    """The operand that a node rounds; what is computed in integers stands for the same computation in floats."""
    entry, call = find(node), Call.of(node)
    return call.operand(0 if entry is None else entry.operands(call)[0])


def _node(node: ir.Node) -> NodeProto:
    if _rounds(node):
        return helper.make_node("Identity", [str(_rounded(node).name)], [str(node.outputs[0].name)])
    return ir.serde.serialize_node(node)


def _versions(nodes: list[ir.Node]) -> Mapping[str, int]:
    graph = nodes[0].graph if nodes else None
    return {"": 21, **({} if graph is None else graph.opset_imports)}
