"""Check the model's own functions: no two have the same name, all names are texts, and none calls itself."""

from __future__ import annotations

import networkx as nx
import onnx

from onnxlrp.source.valid.inner import every_node
from onnxlrp.source.valid.refusal import refusal
from onnxlrp.source.valid.scope import Signature

Key = tuple[str, str, str]


def signatures(proto: onnx.ModelProto) -> dict[Key, Signature]:
    """Count the inputs and outputs of each function."""
    return {key_of(f): (len(f.input), len(f.output)) for f in proto.functions}


def key_of(function: onnx.FunctionProto) -> Key:
    """Give the domain, name and overload by which a node calls a function."""
    return "" if function.domain == "ai.onnx" else function.domain, function.name, function.overload


def check(proto: onnx.ModelProto) -> None:
    """Raise InvalidModelError if functions contradict each other or themselves."""
    if not proto.functions:
        return
    seen: set[Key] = set()
    for function in proto.functions:
        key = key_of(function)
        if not all(isinstance(text, str) for text in (*key, *function.input, *function.output, *function.attribute)):
            raise refusal(f"a name of the function {function.name!r} is no UTF-8 text")
        if not function.name or key in seen:
            raise refusal(f"there are two functions {function.name!r}" if function.name else "a function has no name")
        seen.add(key)
    _check_calls(proto, seen)


def _check_calls(proto: onnx.ModelProto, known: set[Key]) -> None:
    """Raise InvalidModelError if functions call each other in a circle."""
    calls = nx.DiGraph()
    for function in proto.functions:
        for node in every_node(function.node):
            called = ("" if node.domain == "ai.onnx" else node.domain, node.op_type, node.overload)
            if called in known:
                calls.add_edge(key_of(function), called)
    circle = next(iter(nx.simple_cycles(calls)), None)
    if circle is not None:
        names = " → ".join(repr(name) for _, name, _ in [*circle, circle[0]][:6])
        raise refusal(f"its functions call each other in a circle: {names}")
