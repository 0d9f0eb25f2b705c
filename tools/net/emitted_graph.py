"""Description of an emitted graph without the names of its values: its operators as a multiset, and one digest of it
all."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping

import onnx
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, numpy_helper

_PREFIX = "onnxlrp."


def operators(model: onnx.ModelProto, *, relevance: bool = False) -> Counter[str]:
    """Count the nodes by domain, operator and attributes, including those in bodies and functions.

    With `relevance` only the nodes that onnxlrp added count; without it, initializers count as well.
    """
    found = Counter(text for text, added in _nodes(model.graph) if added or not relevance)
    if not relevance:
        found.update(_initializers(model.graph))
        found.update(f"{f.name} › {_operator(node)}" for f in model.functions for node in f.node)
    return found


def digest(model: onnx.ModelProto) -> str:
    """Digest everything that the outputs depend on; equal digests mean graphs that are equal except for names and
    order."""
    outputs = [value.name for value in model.graph.output]
    found = _body(model.graph, {}, [f"input {value.name}" for value in model.graph.input])
    functions = sorted(f.SerializeToString(deterministic=True).hex() for f in model.functions)
    return _hash(*functions, *(f"{name} {value}" for name, value in sorted(zip(outputs, found, strict=True))))


def without(model: onnx.ModelProto, output: str) -> onnx.ModelProto:
    """Copy a model without one of its outputs, and without all nodes that only this output needs."""
    kept = onnx.ModelProto()
    kept.CopyFrom(model)
    names = [value.name for value in model.graph.output]
    _prune(kept.graph, [i for i, name in enumerate(names) if name != output])
    return kept


# ----------------------------------------------------------------------------------------------------------- operators


def _nodes(graph: GraphProto, path: str = "", added: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield every node as text, with the bodies that lead to it, and whether onnxlrp added it."""
    for node in graph.node:
        own = added or any(entry.key.startswith(_PREFIX) for entry in node.metadata_props)
        yield path + _operator(node), own
        for name, body in _bodies(node):
            yield from _nodes(body, f"{path}{node.op_type}.{name} › ", own)


def _initializers(graph: GraphProto, path: str = "") -> Iterator[str]:
    """Yield every initializer as text, including those of bodies."""
    yield from (f"{path}initializer {_tensor(tensor)}" for tensor in graph.initializer)
    for node in graph.node:
        for name, body in _bodies(node):
            yield from _initializers(body, f"{path}{node.op_type}.{name} › ")


def _operator(node: NodeProto) -> str:
    domain = f"{node.domain}::" if node.domain not in ("", "ai.onnx") else ""
    plain = (a for a in node.attribute if a.type not in (AttributeProto.GRAPH, AttributeProto.GRAPHS))
    return f"{domain}{node.op_type}({', '.join(sorted(f'{a.name}={_value(a)}' for a in plain))})"


def _bodies(node: NodeProto) -> list[tuple[str, GraphProto]]:
    return sorted(((a.name, a.g) for a in node.attribute if a.type == AttributeProto.GRAPH), key=lambda pair: pair[0])


def _value(attribute: AttributeProto) -> str:
    if attribute.type == AttributeProto.TENSOR:
        return _tensor(attribute.t)
    value = onnx.helper.get_attribute_value(attribute)
    text = str(value)
    return text if len(text) <= 80 else f"{type(value).__name__}#{_hash(text)[:8]}"


def _tensor(tensor: TensorProto) -> str:
    """Describe element type, shape, and the value itself if it is one number, else a digest of the values."""
    kind = f"{TensorProto.DataType.Name(tensor.data_type).lower()}{list(tensor.dims)}"
    if tensor.data_type == TensorProto.STRING:
        return f"{kind}#{_hash(*map(repr, tensor.string_data))[:8]}"
    array = numpy_helper.to_array(tensor)
    if array.size == 1:
        return f"{kind}={array.reshape(-1)[0]!s}"
    return f"{kind}#{hashlib.blake2b(array.tobytes()).hexdigest()[:8]}"


def _hash(*texts: str) -> str:
    return hashlib.blake2b("\0".join(texts).encode(), digest_size=16).hexdigest()


# -------------------------------------------------------------------------------------------------------------- digest


def _body(graph: GraphProto, outer: Mapping[str, str], inputs: Collection[str]) -> list[str]:
    """Digest the outputs of a graph, given digests of the outer values and of its inputs."""
    known = {**outer, "": ""}
    known.update(zip((value.name for value in graph.input), inputs, strict=True))
    for tensor in graph.initializer:  # a default of an input counts with the input's name
        own = known[tensor.name] if tensor.name in {value.name for value in graph.input} else ""
        known[tensor.name] = _hash(own, _tensor(tensor))
    for node in graph.node:
        bodies = (
            _hash(name, *_body(body, known, [f"{name} {len(outer)} {i}" for i in range(len(body.input))]))
            for name, body in _bodies(node)
        )
        own = _hash(_operator(node), *(known[name] for name in node.input), *bodies)
        known.update((name, f"{own}.{i}") for i, name in enumerate(node.output) if name)
    return [known[value.name] for value in graph.output]


# --------------------------------------------------------------------------------------------------------------- prune


def _prune(graph: GraphProto, wanted: Collection[int]) -> set[str]:
    """Keep these outputs and the nodes they need, bodies included; return the names that are read."""
    outputs = [value for i, value in enumerate(graph.output) if i in wanted]
    needed = {value.name for value in outputs}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed |= _read(node, [i for i, name in enumerate(node.output) if name in needed])
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    for field, entries in (("node", kept[::-1]), ("output", outputs), ("initializer", constants)):
        copies = [type(entry).FromString(entry.SerializeToString()) for entry in entries]
        del getattr(graph, field)[:]
        getattr(graph, field).extend(copies)
    return needed


def _read(node: NodeProto, used: list[int]) -> set[str]:
    """Prune the bodies of a node to the outputs that are used, and return the names that it still reads."""
    names = set(node.input)
    for _, body in _bodies(node):
        names |= _prune(body, _needed_outputs(node, body, used))
    return names


def _needed_outputs(node: NodeProto, body: GraphProto, used: list[int]) -> set[int]:
    """Find the outputs of a body that a node needs for those of its own outputs that are used.

    A carried value is needed if the node's output is used, or if a needed output of the body reads it.
    """
    if node.op_type == "If":
        return set(used)
    shift = 1 if node.op_type == "Loop" else 0  # a loop's body gives its condition first
    scanned = next((a.i for a in node.attribute if a.name == "num_scan_inputs"), 0)
    carried = len(node.input) - (2 if node.op_type == "Loop" else scanned)
    first = 2 if node.op_type == "Loop" else 0
    needed = {*range(shift), *(i + shift for i in used)}
    while True:
        trial = GraphProto.FromString(body.SerializeToString())
        names = _prune(trial, needed)
        more = {i + shift for i in range(carried) if body.input[first + i].name in names} - needed
        if not more:
            return needed
        needed |= more
