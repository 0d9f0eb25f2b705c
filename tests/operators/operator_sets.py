"""Models of one node for every operator of the default domain, at every version that onnxruntime still runs.

ONNX's own node cases are of the latest versions. Each is written down to every older version from opset 7 on: an
operand that an older version has as an attribute becomes that attribute, what it does not know is dropped. Then every
attribute of every version takes further values. A model need not be meaningful: onnxruntime says which it runs.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from tests.operators.node_cases import collect

FIRST, LAST = 7, 26
"""The opsets that onnxruntime 1.31 runs."""
_FORMERLY = {
    ("BatchNormalization", "mean"): "input_mean",
    ("BatchNormalization", "var"): "input_var",
    ("TopK", "k"): "K",
    ("Pad", "value"): "constant_value",
}
"""Operands and attributes that have had another name, and the one that they have now."""
_COUNTS = re.compile("group|size|height|width|ratio|type|dim$|precision")
"""Names of attributes that are no flags although they are 0 or 1 where they are left out."""
_TOGETHER = re.compile("ngram|gram_length|pool_(int64s|strings)|weights|num_outputs")
"""Names of attributes that must agree with others, or with the node's outputs: they stay as a case has them."""
_QUOTED = re.compile(r"[\"'`]([A-Za-z_]{2,24})[\"'`]|\b(SAME_UPPER|SAME_LOWER|VALID|NOTSET)\b")
_ALTERNATIVES = 8
"""Cases that are tried for a value of an attribute until onnxruntime runs one."""


@dataclasses.dataclass(frozen=True)
class Operand:
    """A value that a node reads: its type, and what is fed."""

    type: onnx.TypeProto
    value: Any


@dataclasses.dataclass
class Base:
    """A node as a case of ONNX has it: operands by the names of the newest schema, and attributes."""

    op: str
    operands: dict[str, list[Operand | None]]
    attributes: dict[str, Any]
    outputs: list[str]
    """Their names; an output that is left out has none."""
    exotic: bool = False
    """Outputs have a type of which onnxruntime's Python API gives no arrays: they are cast to float."""


@dataclasses.dataclass
class Trial:
    """One node at one version."""

    op: str
    version: int
    operands: list[Operand | None]
    attributes: dict[str, Any]
    outputs: list[str]
    exotic: bool = False
    varied: str = ""
    """The attribute that was given another value than a case of ONNX has."""
    constant: bool = False
    """Operands but the first are constants of the file, not inputs."""
    open: bool = False
    """The sizes of the inputs are known only at run time."""

    @property
    def opset(self) -> int:
        """The opset at which this version is current."""
        return max(self.version, FIRST)

    def node(self, prefix: str) -> onnx.NodeProto:
        """The node, its values named with a prefix; operands and outputs that are left out have no name."""
        names = [f"{prefix}x{i}" if o is not None else "" for i, o in enumerate(self.operands)]
        outputs = [f"{prefix}y{i}" if o else "" for i, o in enumerate(self.outputs)]
        node = helper.make_node(self.op, names, outputs, f"{prefix}node")
        node.attribute.extend(_attribute(self, name, value) for name, value in sorted(self.attributes.items()))
        return node

    def fed(self, prefix: str) -> dict[str, Operand]:
        """The operands that are inputs of the model, by name."""
        found = {n: o for n, o in self._named(prefix).items() if n not in self.constants(prefix)}
        return {n: _with_symbols(n, o) for n, o in found.items()} if self.open else found

    def constants(self, prefix: str) -> dict[str, onnx.TensorProto]:
        """The operands that are constants of the file, by name; so are those of exotic types."""
        return {
            name: numpy_helper.from_array(operand.value, name)
            for index, (name, operand) in enumerate(self._named(prefix).items())
            if isinstance(operand.value, np.ndarray) and ((self.constant and index) or is_exotic(operand.type))
        }

    def _named(self, prefix: str) -> dict[str, Operand]:
        return {f"{prefix}x{i}": o for i, o in enumerate(self.operands) if o is not None}


def _with_symbols(name: str, operand: Operand) -> Operand:
    """The operand, with a symbol of its own for each size."""
    kind = onnx.TypeProto()
    kind.CopyFrom(operand.type)
    for axis, dim in enumerate(kind.tensor_type.shape.dim if kind.HasField("tensor_type") else ()):
        dim.dim_param = f"{name}_{axis}"
    return Operand(kind, operand.value)


def is_exotic(kind: onnx.TypeProto) -> bool:
    """Decide whether onnxruntime's Python API takes and gives no arrays of a type: bfloat16 and later ones."""
    return kind.HasField("tensor_type") and kind.tensor_type.elem_type >= TensorProto.BFLOAT16


def _attribute(trial: Trial, name: str, value: Any) -> AttributeProto:
    kind = _schema(trial.op, trial.version).attributes[name].type
    return helper.make_attribute(name, value, attr_type=int(kind.value))


# -------------------------------------------------------------------------------------------------- what ONNX has


@functools.cache
def versions() -> dict[str, list[int]]:
    """The versions of each operator that are current at some opset from 7 on."""
    found: dict[str, list[int]] = defaultdict(list)
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "" and schema.since_version <= LAST and not schema.deprecated:
            found[schema.name].append(schema.since_version)
    old = {op: max((v for v in some if v <= FIRST), default=0) for op, some in found.items()}
    return {op: sorted(v for v in some if v >= old[op]) for op, some in sorted(found.items())}


@functools.cache
def _schema(op: str, version: int) -> onnx.defs.OpSchema:
    return onnx.defs.get_schema(op, version, "")


@functools.cache
def bases() -> dict[str, list[Base]]:
    """What ONNX's cases of one node, and the operators that it gave up, have."""
    found: dict[str, list[Base]] = defaultdict(list)
    for case in collect():
        graph = case.model.graph
        if len(graph.node) == 1 and graph.node[0].domain == "" and not graph.initializer:
            found[graph.node[0].op_type].append(_base(case))
    for base in _of_our_own():
        found[base.op].append(base)
    return found


def _base(case: Any) -> Base:
    graph = case.model.graph
    node = graph.node[0]
    opset = next(o.version for o in case.model.opset_import if o.domain == "")
    types = {i.name: i.type for i in graph.input}
    given = case.data_sets[0][0]
    values = {i.name: _plain(v) for i, v in zip(graph.input, given, strict=False)}
    formals = onnx.defs.get_schema(node.op_type, opset, "").inputs
    operands: dict[str, list[Operand | None]] = defaultdict(list)
    for index, name in enumerate(node.input):
        formal = formals[min(index, len(formals) - 1)].name
        operands[formal].append(Operand(types[name], values[name]) if name in values else None)
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    exotic = any(is_exotic(o.type) for o in graph.output)
    return Base(node.op_type, dict(operands), attributes, list(node.output), exotic)


def _plain(value: Any) -> Any:
    value = numpy_helper.to_array(value) if isinstance(value, TensorProto) else value
    return np.asarray(value) if isinstance(value, np.generic) else value


def tensor(array: Any) -> Operand:
    """An operand that is this array."""
    array = np.asarray(array)
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    return Operand(helper.make_tensor_type_proto(kind, array.shape), array)


def _of_our_own() -> Iterator[Base]:
    """The operators that ONNX gave up, those that it has no case of a single node for, and old ways to resize."""
    x = np.random.default_rng(0).normal(size=(1, 2, 3, 4)).astype(np.float32)
    for mode in ("nearest", "linear"):
        for scales in ((1, 1, 2, 3), (1, 1, 1.5, 5 / 3), (1, 2, 1, 1), (1, 1, 0.6, 1.7), (1, 1, 0.5, 0.34)):
            operands = {"X": [tensor(x)], "scales": [tensor(np.float32(scales))]}
            yield Base("Upsample", operands, {"mode": mode}, ["y"])
            yield Base("Resize", operands, {"mode": mode}, ["y"])
    updates = {"indices": [tensor(np.int64([[0, 2], [1, 0]]))], "updates": [tensor(np.float32([[1, 2], [3, 4]]))]}
    for axis in (0, 1):
        yield Base("Scatter", {"data": [tensor(x[0, 0])], **updates}, {"axis": axis}, ["y"])
    yield Base("GlobalLpPool", {"X": [tensor(x)]}, {}, ["y"])
    regions = np.float32([[0, 0, 0, 2, 2], [0, 1, 1, 3, 2]])
    sizes = {"pooled_shape": [2, 1]}
    yield Base("MaxRoiPool", {"X": [tensor(x)], "rois": [tensor(regions)]}, sizes, ["y"])
    yield Base("Multinomial", {"input": [tensor(x[0, 0])]}, {"seed": 1.0}, ["y"])
    for op in ("RandomNormal", "RandomUniform"):
        yield Base(op, {}, {"shape": [2, 3]}, ["y"])
        yield Base(f"{op}Like", {"input": [tensor(x)]}, {}, ["y"])
    yield from _sequences(x)


def _sequences(x: np.ndarray) -> Iterator[Base]:
    several = sequence([x[0, 0], x[0, 1]])
    yield Base("SequenceEmpty", {}, {}, ["y"])
    yield Base("SequenceConstruct", {"inputs": [tensor(x), tensor(x)]}, {}, ["y"])
    yield Base("Optional", {"input": [tensor(x)]}, {}, ["y"])
    yield Base("SequenceLength", {"input_sequence": [several]}, {}, ["y"])
    for axis in (0, 1, -1):
        yield Base("ConcatFromSequence", {"input_sequence": [several]}, {"axis": axis}, ["y"])
    for op in ("SequenceAt", "SequenceErase"):
        for position in (0, 1, -1):
            yield Base(op, {"input_sequence": [several], "position": [tensor(np.int64(position))]}, {}, ["y"])


def sequence(arrays: Sequence[np.ndarray]) -> Operand:
    """An operand that is a list of these arrays."""
    return Operand(helper.make_sequence_type_proto(tensor(arrays[0]).type), list(arrays))


# -------------------------------------------------------------------------------------------------- writing it down


def trials(op: str, version: int, whole: bool = False) -> Iterator[list[Trial]]:
    """The cases of an operator at a version, then the values of its attributes: alternatives, of which one is tried.

    `whole`: all cases, each with its operands fed, with sizes that only a run knows, and as constants; else one of
    each.
    """
    written = [t for base in bases()[op] if (t := write_down(base, version)) is not None]
    constants = [dataclasses.replace(t, constant=True) for t in written if len(t.operands) > 1]
    open_sizes = [dataclasses.replace(t, open=True) for t in written]
    if whole:
        yield from ([t] for t in (*written, *open_sizes, *constants))
    else:
        yield written[:_ALTERNATIVES]
        yield open_sizes[:_ALTERNATIVES]
        yield constants[-_ALTERNATIVES:]
    for name, values in attribute_values(op, version).items():
        for value in values:
            yield _varied(written, name, value)


def _varied(written: Sequence[Trial], name: str, value: Any) -> list[Trial]:
    """Every case in which the attribute has another value, with this one."""
    return [
        dataclasses.replace(t, attributes={**t.attributes, name: value}, varied=name)
        for t in written
        if t.attributes.get(name) != value
    ][:_ALTERNATIVES]


def write_down(base: Base, version: int) -> Trial | None:
    """A case as an older version says it; None where that cannot."""
    schema = _schema(base.op, version)
    attributes = {n: v for n, v in base.attributes.items() if n in schema.attributes}
    for name in schema.attributes:
        given = base.operands.get(_FORMERLY.get((base.op, name), name))
        if name not in attributes and given and given[0] is not None:
            attributes[name] = _as_attribute(given[0].value, schema.attributes[name].type.name)
    if any(a.required and n not in attributes for n, a in schema.attributes.items()):
        return None
    operands: list[Operand | None] = []
    for formal in schema.inputs:
        given = base.operands.get(_FORMERLY.get((base.op, formal.name), formal.name))
        operands += [None] if given is None else given
    while operands and operands[-1] is None:
        operands.pop()
    return Trial(base.op, version, operands, attributes, base.outputs[: schema.max_output], base.exotic)


def _as_attribute(value: Any, kind: str) -> Any:
    array = np.asarray(value)
    if kind in ("INT", "FLOAT"):
        first = array.reshape(-1)[0].item() if array.size else 0
        return float(first) if kind == "FLOAT" else first
    return array.reshape(-1).tolist()


def attribute_values(op: str, version: int) -> dict[str, list[Any]]:
    """Values to try for each attribute: those of all cases of the operator, and some of its kind."""
    found: dict[str, list[Any]] = {}
    used = [t.attributes for b in bases()[op] if (t := write_down(b, version)) is not None]
    for name, attribute in _schema(op, version).attributes.items():
        kind = attribute.type.name
        values = [a[name] for a in used if name in a]
        values += _numbers(name, attribute)
        if kind == "STRING":
            values += [(a or b).encode() for a, b in _QUOTED.findall(attribute.description)]
        if kind == "INTS":
            lengths = {len(v) for v in values}
            values += [[n] * length for length in lengths for n in (1, 2)]
        if kind in ("GRAPH", "GRAPHS", "TENSOR", "SPARSE_TENSOR") or _TOGETHER.search(name):
            continue
        found[name] = [v for i, v in enumerate(values) if v not in values[:i]]
    return found


def _numbers(name: str, attribute: Any) -> tuple[float, ...]:
    """Numbers that are harmless for any operator: axes, both states of a flag, and factors (below 1, so that the range
    of a random number does not end ahead of its start)."""
    if attribute.type.name == "FLOAT":
        return (0.25, 0.75)
    if attribute.type.name != "INT":
        return ()
    default = attribute.default_value
    if "axis" in name:
        return (0, 1, 2, -1, -2)
    flag = default.type == AttributeProto.INT and default.i in (0, 1) and not _COUNTS.search(name)
    return (0, 1) if flag else ()
