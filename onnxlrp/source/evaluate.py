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
"""Nodes of a computation that is tried; elementwise regions have about ten."""
_ANY_SIZE = 1 << 20
"""Elements that operands are broadcast to without anybody asking."""
_LARGEST = 1 << 16
"""Elements of a constant that is looked at."""
_SMALL = 1 << 10
"""Bytes of operands whose results are remembered."""
_FILTERS = threading.Lock()
_Written = tuple[tuple[bytes, ...], tuple[str, ...], str, tuple[tuple[str, int], ...]]
"""A computation: its nodes, the names of its operands and of its result, and the versions of operator sets."""


def evaluate(result: ir.Value, given: Mapping[ir.Value, np.ndarray]) -> np.ndarray | None:
    """The content of `result` where some values upstream of it are replaced by float64 arrays.

    Casts between floats, quantisation and the operators that only round are left out. Returns None where a constant is
    unknown or large, where the computation is long, or where the reference evaluator does not know an operator.
    """
    if result in given:
        return given[result]
    if result.const_value is not None:
        return _wide(result).astype(np.float64)
    computation = _computation(result, given)
    return None if computation is None else computation(given)


class FunctionOfOne:
    """An elementwise function of one operand, at values that broadcast to the operand's shape.

    Gives None as `evaluate` does. The result varies along the axes of the values and of constants on the way.
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
    """What computes a value from some values upstream of it and from constants that are known."""
    nodes = _upstream(result, given)
    if nodes is None:
        return None
    made = {v for n in nodes for v in n.outputs}
    read = dict.fromkeys([result, *(v for n in nodes for v in _operands(n) if v is not None)])
    leaves = [v for v in read if v not in made and v not in given]
    return _Computation(nodes, given, leaves, result) if all(map(_looked_at, leaves)) else None


class _Computation:
    """Some nodes and their constants, made ready once to run at many points.

    A model repeats its functions: one evaluator serves all that are written alike, whatever their values are called.
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
    """A node as it is written in a file, under names that tell its operands' places only; one that rounds as an
    Identity. Its outputs are added to the names."""
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
    """The result for operands of these types, shapes and bytes, which nobody may change."""
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
    """The content of `result` after some nodes have run in their order, without warnings of their numbers.

    `versions` are those of the operator sets, by domain. Raises InvalidModelError, before anything is computed, where a
    node asks for too many elements, and whatever the reference evaluator raises.
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
    """The evaluator's only output, without warnings of its numbers."""
    _check_sizes(evaluator.proto_, feeds)
    # Filters of warnings belong to the process: conversions in threads would restore each other's.
    with _FILTERS, warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        (values,) = evaluator.run(None, dict(feeds))
    return np.asarray(values)


def _check_sizes(model: ModelProto, given: Mapping[str, np.ndarray]) -> None:
    """Raise InvalidModelError where a node makes too many elements, or nobody can say how many."""
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
        operands = _operands(node)
        waiting += [(v.producer(), False) for v in operands if v is not None and v not in given]
    return ordered


def _operands(node: ir.Node) -> Sequence[ir.Value | None]:
    """The operands that are read: a node that rounds is left out, so that its scales need not be known."""
    return [_rounded(node)] if _rounds(node) else node.inputs


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


def _versions(nodes: Sequence[ir.Node]) -> Mapping[str, int]:
    graph = nodes[0].graph if nodes else None
    return {"": 21, **({} if graph is None else graph.opset_imports)}
