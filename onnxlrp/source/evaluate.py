"""Compute a value of the graph in float64 before the model runs, with ONNX's reference evaluator."""

from __future__ import annotations

import functools
import math
import threading
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir
from onnx import ModelProto, NodeProto, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from onnxlrp.graph.call import Call, content
from onnxlrp.memory import GROWING, check_elements, most_elements
from onnxlrp.operators.registry import find

_MOST_NODES = 64
"""Largest number of nodes of a computation that is tried; elementwise regions have about ten."""
_ANY_SIZE = 1 << 20
"""Number of elements that operands may broadcast to without a check of sizes."""
_LARGEST = 1 << 16
"""Largest number of elements of a constant that a computation may read."""
_SMALL = 1 << 10
"""Largest size in bytes of the operands of a computation whose result is remembered."""
_FILTERS = threading.Lock()
_Written = tuple[tuple[bytes, ...], tuple[str, ...], str, tuple[tuple[str, int], ...]]
"""A computation: its nodes, the names of its operands and of its result, and the versions of operator sets."""


def evaluate(result: ir.Value, given: Mapping[ir.Value, np.ndarray]) -> np.ndarray | None:
    """Compute `result` with some values upstream of it replaced by float64 arrays.

    Casts between floats, quantisation and operators that only round are left out. Returns None if a constant is unknown
    or large, if the computation is long, or if the reference evaluator does not know an operator.
    """
    if result in given:
        return given[result]
    if result.const_value is not None:
        return _wide(result).astype(np.float64)
    computation = _computation(result, given)
    return None if computation is None else computation(given)


class FunctionOfOne:
    """An elementwise function of one operand, called with values that broadcast to the operand's shape.

    It returns None in the cases in which `evaluate` does. The result varies along the axes of the values and of the
    constants that are read on the way.
    """

    def __init__(self, result: ir.Value, operand: ir.Value) -> None:
        self._operand, self._rank = operand, len(operand.shape or ())
        plain = result is operand or result.const_value is not None
        self._evaluate = functools.partial(evaluate, result) if plain else _computation(result, {operand})

    def __call__(self, values: np.ndarray) -> np.ndarray | None:
        return None if self._evaluate is None else self._evaluate({self._operand: np.array(values, ndmin=self._rank)})


def evaluate_at(result: ir.Value, operand: ir.Value, values: np.ndarray) -> np.ndarray | None:
    """Evaluate an elementwise function of one operand once, as `FunctionOfOne` does."""
    return FunctionOfOne(result, operand)(values)


def _computation(result: ir.Value, given: Collection[ir.Value]) -> _Computation | None:
    """Prepare the computation of a value from some values upstream of it and known constants; None if that is not
    possible."""
    nodes = _upstream(result, given)
    if nodes is None:
        return None
    made = {v for n in nodes for v in n.outputs}
    read = dict.fromkeys([result, *(v for n in nodes for v in _operands(n) if v is not None)])
    leaves = [v for v in read if v not in made and v not in given]
    return _Computation(nodes, given, leaves, result) if all(map(_looked_at, leaves)) else None


class _Computation:
    """Some nodes and their constants, prepared once to run at many points.

    A model repeats its functions: one evaluator serves all computations that are written alike, whatever names their
    values have.
    """

    def __init__(
        self, nodes: Sequence[ir.Node], given: Iterable[ir.Value], constants: Sequence[ir.Value], result: ir.Value
    ) -> None:
        self._given, self._constants = list(given), [_wide(v) for v in constants]
        names = {v: f"x{i}" for i, v in enumerate((*self._given, *constants))}
        self._operands = tuple(names.values())
        self._nodes = tuple(_renamed(n, names) for n in nodes)
        self._result = names[result]
        versions = _versions(nodes)
        self._versions = tuple((d, versions.get(d) or 1) for d in sorted({n.domain for n in nodes} | {""}))

    def __call__(self, given: Mapping[ir.Value, np.ndarray]) -> np.ndarray | None:
        arrays = [*(np.asarray(given[v], np.float64) for v in self._given), *self._constants]
        computation = self._nodes, self._operands, self._result, self._versions
        try:
            if sum(a.nbytes for a in arrays) > _SMALL:
                return _result(computation, arrays)
            contents = tuple((a.dtype.str, a.shape, a.tobytes()) for a in arrays)
            return _known_result(computation, contents)
        except Exception:  # the evaluator raises whatever its operators raise
            return None


def _renamed(node: ir.Node, names: dict[ir.Value, str]) -> bytes:
    """Serialise a node with names that depend only on the order of its operands; a node that rounds becomes an
    Identity. Its outputs are added to `names`."""
    operands = _operands(node)
    outputs = node.outputs[:1] if _rounds(node) else node.outputs
    for value in outputs:
        names[value] = f"y{len(names)}"
    inputs = ["" if v is None else names[v] for v in operands]
    made = [names[v] for v in outputs]
    if _rounds(node):
        return helper.make_node("Identity", inputs, made).SerializeToString(deterministic=True)
    if not node.attributes:
        return _plain_node(node.domain, node.op_type, tuple(inputs), tuple(made))
    proto = ir.serde.serialize_node(node)
    del proto.input[:], proto.output[:], proto.metadata_props[:]
    proto.name = ""
    proto.input.extend(inputs)
    proto.output.extend(made)
    return proto.SerializeToString(deterministic=True)


@functools.lru_cache(maxsize=256)
def _plain_node(domain: str, op_type: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> bytes:
    return helper.make_node(op_type, inputs, outputs, domain=domain).SerializeToString(deterministic=True)


@functools.lru_cache(maxsize=4096)
def _known_result(computation: _Written, contents: tuple[tuple[str, tuple[int, ...], bytes], ...]) -> np.ndarray:
    """Compute, or remember, the result for operands of these types, shapes and bytes; the array is read-only because it
    is shared."""
    arrays = [np.frombuffer(data, dtype).reshape(shape) for dtype, shape, data in contents]
    found = _result(computation, arrays)
    found.setflags(write=False)
    return found


def _result(computation: _Written, arrays: Sequence[np.ndarray]) -> np.ndarray:
    nodes, operands, result, versions = computation
    feeds = dict(zip(operands, arrays, strict=True))
    return _run(_shared_evaluator(nodes, operands, result, versions), feeds).astype(np.float64)


@functools.lru_cache(maxsize=256)
def _shared_evaluator(
    nodes: tuple[bytes, ...], operands: tuple[str, ...], result: str, versions: tuple[tuple[str, int], ...]
) -> ReferenceEvaluator:
    return _evaluator([NodeProto.FromString(n) for n in nodes], operands, {}, result, dict(versions))


def run_nodes(
    nodes: Sequence[NodeProto],
    given: Mapping[ir.Value, np.ndarray],
    constants: Mapping[ir.Value, np.ndarray],
    result: ir.Value,
    versions: Mapping[str, int],
) -> np.ndarray:
    """Compute `result` by running some nodes in their order, without numerical warnings.

    `versions` are those of the operator sets, by domain. Raises InvalidModelError, before anything is computed, if a
    node asks for too many elements; passes on whatever the reference evaluator raises.
    """
    feeds = {str(v.name): array for v, array in given.items()}
    tensors = {str(v.name): array for v, array in constants.items()}
    return _run(_evaluator(nodes, list(feeds), tensors, str(result.name), versions), feeds)


def _evaluator(
    nodes: Sequence[NodeProto],
    given: Sequence[str],
    constants: Mapping[str, np.ndarray],
    result: str,
    versions: Mapping[str, int],
) -> ReferenceEvaluator:
    graph = helper.make_graph(
        nodes,
        "computation",
        [helper.make_empty_tensor_value_info(name) for name in given],
        [helper.make_empty_tensor_value_info(result)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid(domain, versions.get(domain) or 1) for domain in sorted({n.domain for n in nodes})]
    return ReferenceEvaluator(helper.make_model(graph, opset_imports=opsets))


def _run(evaluator: ReferenceEvaluator, feeds: Mapping[str, np.ndarray]) -> np.ndarray:
    """Run the evaluator without numerical warnings and return its only output."""
    _check_sizes(evaluator.proto_, feeds)
    # Warning filters belong to the process: without the lock, threads would restore each other's filters.
    with _FILTERS, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        (values,) = evaluator.run(None, dict(feeds))
    return np.asarray(values)


def _check_sizes(model: ModelProto, given: Mapping[str, np.ndarray]) -> None:
    """Raise InvalidModelError if a node's output has too many elements, or if the size of a growing operator's output
    cannot be inferred."""
    grow = any(n.op_type in GROWING for n in model.graph.node)
    try:
        shapes = [*(a.shape for a in given.values()), *(tuple(t.dims) for t in model.graph.initializer)]
        shape = np.broadcast_shapes(*shapes)
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


def _upstream(result: ir.Value, given: Collection[ir.Value]) -> list[ir.Node] | None:
    """List the nodes between some values and a result, in their order; None if there are too many."""
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
        operands = _operands(node)
        waiting += [(v.producer(), False) for v in operands if v is not None and v not in given]
    return ordered


def _operands(node: ir.Node) -> Sequence[ir.Value | None]:
    """List the operands that the evaluation reads. For a node that rounds, this is the rounded operand alone, so that
    its scales need not be known."""
    return [_rounded(node)] if _rounds(node) else node.inputs


def _looked_at(value: ir.Value) -> bool:
    return value.const_value is not None and value.const_value.size <= _LARGEST


def _wide(value: ir.Value) -> np.ndarray:
    array = content(value)
    assert array is not None
    return array.astype(np.float64) if value.dtype is not None and value.dtype.is_floating_point() else array


def _rounds(node: ir.Node) -> bool:
    """Decide whether a node only rounds one of its operands: it quantises, or casts a float to a float."""
    entry = find(node)
    if node.op_type == "Cast" and node.domain == "":
        source, target = node.inputs[0], node.outputs[0]
        kinds = [v.dtype for v in (source, target) if v is not None and v.dtype is not None]
        return len(kinds) == 2 and all(kind.is_floating_point() for kind in kinds)
    return entry is not None and entry.rounding


def _rounded(node: ir.Node) -> ir.Value:
    """Find the operand that a node rounds, which for an integer operator is the operand of the same computation in
    floats."""
    entry, call = find(node), Call.of(node)
    return call.operand(0 if entry is None else entry.operands(call)[0])


def _versions(nodes: Sequence[ir.Node]) -> Mapping[str, int]:
    graph = nodes[0].graph if nodes else None
    return {"": 21, **({} if graph is None else graph.opset_imports)}
