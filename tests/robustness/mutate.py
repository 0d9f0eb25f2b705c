"""Mutants of small models: the same seed, the same mutant."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import Any

import onnx
from onnx import AttributeProto, TensorProto

from tests.robustness.bases import BASES

Random = random.Random
Mutation = Callable[[onnx.ModelProto, Random], None]
_NUMBERS = (-9, -2, -1, 0, 1, 2, 3, 5, 9, 127, 2**31, -(2**40))
_MOST = 3
"""Mutations of one mutant."""
_CUT = 0.04
"""Share of mutants that lose or change some bytes beside."""
_MADE: list[bytes] = []


def mutant(seed: int) -> tuple[str, bytes]:
    """A mutant's base and its bytes. The mutations are drawn, and so is how many."""
    rng = Random(seed)
    if not _MADE:
        _MADE.extend(make().SerializeToString() for make in BASES)
    index = rng.randrange(len(BASES))
    proto = onnx.ModelProto.FromString(_MADE[index])
    for _ in range(rng.randint(1, _MOST)):
        rng.choice(MUTATIONS)(proto, rng)
    raw = proto.SerializeToString()
    return BASES[index].__name__, _damaged(raw, rng) if rng.random() < _CUT else raw


def _damaged(raw: bytes, rng: Random) -> bytes:
    start = rng.randrange(len(raw))
    if rng.random() < 0.5:
        return raw[:start]
    return raw[:start] + bytes([rng.randrange(256)]) + raw[start + 1 :]


def _graphs(proto: onnx.ModelProto) -> list[Any]:
    """The main graph, the graphs inside nodes, and functions: all that has nodes."""
    found: list[Any] = [proto.graph, *proto.functions]
    for holder in found:
        for node in holder.node:
            found.extend(a.g for a in node.attribute if a.HasField("g"))
    return [holder for holder in found if holder.node]


def _node(proto: onnx.ModelProto, rng: Random) -> tuple[Any, onnx.NodeProto | None]:
    holders = _graphs(proto)
    holder = rng.choice(holders) if holders else proto.graph
    return holder, (rng.choice(holder.node) if holder.node else None)


def drop_node(proto: onnx.ModelProto, rng: Random) -> None:
    """One node less."""
    holder, node = _node(proto, rng)
    if node is not None:
        holder.node.remove(node)


def double_node(proto: onnx.ModelProto, rng: Random) -> None:
    """One node twice, perhaps under a name of its own."""
    holder, node = _node(proto, rng)
    if node is not None:
        copy = holder.node.add()
        copy.CopyFrom(node)
        if rng.random() < 0.7:
            copy.output[:] = [f"{name}_again" for name in copy.output]


def swap_nodes(proto: onnx.ModelProto, rng: Random) -> None:
    """Two operators exchanged."""
    (_, one), (_, other) = _node(proto, rng), _node(proto, rng)
    if one is not None and other is not None:
        one.op_type, other.op_type = other.op_type, one.op_type


def reorder_nodes(proto: onnx.ModelProto, rng: Random) -> None:
    """The nodes of a graph in another order."""
    holder, _ = _node(proto, rng)
    nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in holder.node]
    rng.shuffle(nodes)
    del holder.node[:]
    holder.node.extend(nodes)


def rename_operator(proto: onnx.ModelProto, rng: Random) -> None:
    """Another operator, or another domain."""
    _, node = _node(proto, rng)
    if node is not None:
        others = ["Relu", "Add", "MatMul", "Softmax", "Concat", "Reshape", "Gather", "Nothing", ""]
        node.op_type = rng.choice(others)
        if rng.random() < 0.1:
            node.domain = rng.choice(["my.domain", "com.microsoft", "ai.onnx.ml"])


def change_inputs(proto: onnx.ModelProto, rng: Random) -> None:
    """An operand dropped, doubled, left out, exchanged, or from elsewhere."""
    _, node = _node(proto, rng)
    if node is not None:
        _change_names(node.input, _names(proto), rng)


def change_outputs(proto: onnx.ModelProto, rng: Random) -> None:
    """The same of a node's outputs."""
    _, node = _node(proto, rng)
    if node is not None:
        _change_names(node.output, _names(proto), rng)


def _names(proto: onnx.ModelProto) -> list[str]:
    nodes = [name for holder in _graphs(proto) for node in holder.node for name in node.output]
    return [*nodes, *(v.name for v in proto.graph.input), *(t.name for t in proto.graph.initializer), "nothing"]


def _change_names(names: Any, others: list[str], rng: Random) -> None:
    how = rng.randrange(5)
    if not names or how == 0:
        names.append(rng.choice(others))
        return
    index = rng.randrange(len(names))
    if how == 1:
        del names[index]
    elif how == 2:
        names[index] = ""
    elif how == 3:
        names[index] = rng.choice(others)
    else:
        names[:] = list(reversed(names))


def drop_attribute(proto: onnx.ModelProto, rng: Random) -> None:
    """One attribute less."""
    _, node = _node(proto, rng)
    if node is not None and node.attribute:
        node.attribute.remove(rng.choice(node.attribute))


def add_attribute(proto: onnx.ModelProto, rng: Random) -> None:
    """One attribute more, which other operators have."""
    _, node = _node(proto, rng)
    if node is not None:
        name = rng.choice(["axis", "axes", "alpha", "to", "perm", "mode", "unheard_of", ""])
        node.attribute.append(onnx.helper.make_attribute("name", rng.choice([1, 1.5, "text", [1, 2]])))
        node.attribute[-1].name = name


def change_attribute(proto: onnx.ModelProto, rng: Random) -> None:
    """Another value, or other lengths of lists."""
    _, node = _node(proto, rng)
    if node is None or not node.attribute:
        return
    attribute = rng.choice(node.attribute)
    if attribute.type == AttributeProto.INT:
        attribute.i = rng.choice(_NUMBERS)
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = rng.choice((-1.0, 0.0, 1e30, float("nan"), float("inf")))
    elif attribute.type == AttributeProto.STRING:
        attribute.s = rng.choice((b"", b"linear", b"text"))
    elif attribute.ints:
        _change_list(attribute.ints, list(_NUMBERS), rng)
    elif attribute.floats:
        _change_list(attribute.floats, [-1.0, 0.0, float("nan")], rng)
    elif attribute.strings:
        _change_list(attribute.strings, [b"LEAF", b"BRANCH_GT", b"text"], rng)


def _change_list(values: Any, others: list[Any], rng: Random) -> None:
    how, index = rng.randrange(3), rng.randrange(len(values))
    if how == 0:
        del values[index]
    elif how == 1:
        values.append(rng.choice(others))
    else:
        values[index] = rng.choice(others)


def retype_attribute(proto: onnx.ModelProto, rng: Random) -> None:
    """The field that says the type, or the field that holds the value."""
    _, node = _node(proto, rng)
    if node is None or not node.attribute:
        return
    attribute = rng.choice(node.attribute)
    if rng.random() < 0.5:
        attribute.type = rng.choice(AttributeProto.AttributeType.values())
    else:
        made = onnx.helper.make_attribute(attribute.name or "name", rng.choice([1, 1.5, "text", [1, 2], [1.5]]))
        made.name = attribute.name
        attribute.CopyFrom(made)


def _tensor(proto: onnx.ModelProto, rng: Random) -> TensorProto | None:
    return rng.choice(proto.graph.initializer) if proto.graph.initializer else None


def change_sizes(proto: onnx.ModelProto, rng: Random) -> None:
    """Sizes of a tensor that no longer fit its data, or fit it in another order."""
    tensor = _tensor(proto, rng)
    if tensor is None:
        return
    if tensor.dims and rng.random() < 0.5:
        tensor.dims[:] = list(reversed(tensor.dims))
    elif tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(_NUMBERS)
    else:
        tensor.dims.append(1)


def change_type(proto: onnx.ModelProto, rng: Random) -> None:
    """Another element type, with as much data as before or with what it needs."""
    tensor = _tensor(proto, rng)
    if tensor is None:
        return
    if rng.random() < 0.5:
        tensor.data_type = rng.choice(TensorProto.DataType.values())
        return
    with contextlib.suppress(ValueError, TypeError):  # of a tensor that an earlier mutation damaged
        _convert_type(tensor, rng)


def _convert_type(tensor: TensorProto, rng: Random) -> None:
    kind = rng.choice(["float16", "float64", "int64", "int32", "uint8"])
    array = onnx.numpy_helper.to_array(tensor)
    tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(kind), tensor.name))


def change_bytes(proto: onnx.ModelProto, rng: Random) -> None:
    """Data that is shorter, or other numbers: NaN among them."""
    tensor = _tensor(proto, rng)
    if tensor is None or not tensor.raw_data:
        return
    raw = bytearray(tensor.raw_data)
    if rng.random() < 0.3:
        tensor.raw_data = bytes(raw[: rng.randrange(len(raw))])
        return
    for _ in range(rng.randint(1, 4)):
        raw[rng.randrange(len(raw))] = rng.choice((0, 1, 127, 128, 255))
    tensor.raw_data = bytes(raw)


def drop_tensor(proto: onnx.ModelProto, rng: Random) -> None:
    """Weights that are missing, doubled, or an input as well."""
    tensor = _tensor(proto, rng)
    if tensor is None:
        return
    how = rng.randrange(3)
    if how == 0:
        proto.graph.initializer.remove(tensor)
    elif how == 1:
        proto.graph.initializer.append(tensor)
    else:
        proto.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))


def change_declaration(proto: onnx.ModelProto, rng: Random) -> None:
    """A declared type, size or name of an input or output, of the model or of a body."""
    holder = rng.choice([g for g in _graphs(proto) if isinstance(g, onnx.GraphProto)] or [proto.graph])
    values = [*holder.input, *holder.output]
    if not values:
        return
    value = rng.choice(values)
    tensor, how = value.type.tensor_type, rng.randrange(5)
    if how == 0:
        tensor.elem_type = rng.choice([0, 1, 6, 7, 9, 10, 11, 99])
    elif how == 1 and tensor.shape.dim:
        rng.choice(tensor.shape.dim).dim_value = rng.choice(_NUMBERS[:9])
    elif how == 2:
        tensor.shape.dim.add()
    elif how == 3:
        value.ClearField("type")
    else:
        value.name = rng.choice([*_names(proto), ""])


def change_graph_outputs(proto: onnx.ModelProto, rng: Random) -> None:
    """Another value as the model's output, one twice, or none."""
    outputs, how = proto.graph.output, rng.randrange(3)
    if how == 0 and outputs:
        outputs[0].name = rng.choice(_names(proto))
    elif how == 1 and outputs:
        outputs.append(outputs[0])
    else:
        outputs.append(onnx.helper.make_tensor_value_info(rng.choice(_names(proto)), 1, None))


def rename_value(proto: onnx.ModelProto, rng: Random) -> None:
    """One value under another's name, everywhere."""
    old, new = rng.choice(_names(proto)), rng.choice([*_names(proto), "é", ""])
    for holder in _graphs(proto):
        for node in holder.node:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]


def change_versions(proto: onnx.ModelProto, rng: Random) -> None:
    """Another operator set or version of the format."""
    how = rng.randrange(4)
    if how == 0:
        proto.ir_version = rng.choice([0, 2, 3, 4, 7, 9, 10, 12, 99])
    elif how == 1 and proto.opset_import:
        rng.choice(proto.opset_import).version = rng.choice([0, 1, 6, 8, 9, 11, 12, 18, 20, 21, 22, 23, 99, -1])
    elif how == 2 and proto.opset_import:
        proto.opset_import.remove(rng.choice(proto.opset_import))
    else:
        proto.opset_import.add(domain=rng.choice(["", "my.domain", "ai.onnx.ml"]), version=rng.choice([1, 7, 13, 99]))


def move_body(proto: onnx.ModelProto, rng: Random) -> None:
    """A body, or its inputs, outputs or nodes, in another's place."""
    bodies = [a.g for holder in _graphs(proto) for n in holder.node for a in n.attribute if a.HasField("g")]
    if not bodies:
        return
    target, source = (
        rng.choice(bodies),
        onnx.GraphProto.FromString(rng.choice([*bodies, proto.graph]).SerializeToString()),
    )
    part = rng.choice(["input", "output", "node", "initializer"])
    if rng.random() < 0.3:
        target.ClearField(part)
    else:
        getattr(target, part).extend(getattr(source, part))


def change_function(proto: onnx.ModelProto, rng: Random) -> None:
    """A function's operands, its name, or a call of itself."""
    if not proto.functions:
        return
    function, how = rng.choice(proto.functions), rng.randrange(4)
    if how == 0:
        function.node.add(op_type=function.name, domain=function.domain, input=function.input, output=["again"])
    elif how == 1:
        _change_names(function.input, ["a", "m", "other"], rng)
    elif how == 2:
        _change_names(function.output, ["a", "m", "other"], rng)
    else:
        proto.functions.append(function)


MUTATIONS: tuple[Mutation, ...] = (
    *(drop_node, double_node, swap_nodes, reorder_nodes, rename_operator, change_inputs, change_inputs, change_outputs),
    *(drop_attribute, add_attribute, change_attribute, change_attribute, retype_attribute, change_sizes, change_type),
    *(change_bytes, drop_tensor, change_declaration, change_graph_outputs, rename_value, change_versions, move_body),
    change_function,
)
