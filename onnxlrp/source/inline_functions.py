"""Write out local functions as onnxruntime does.

If a function has the name of an operator that onnxruntime knows, onnxruntime runs its own kernel instead. It reads the
nodes of all other functions at the opset that the model imports, whatever opset the function imports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import networkx as nx
import onnx
import onnx.inliner

from onnxlrp.errors import InvalidModelError
from onnxlrp.operators.registry import is_known
from onnxlrp.source.valid.inner import every_node

_ONNX = frozenset({"", "ai.onnx.ml"})
_RUNTIMES_OWN = "com.microsoft"


def write_out_functions(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, list[str]]:
    """Write out all local functions; returns the model without functions, and notes for the user.

    The functions must not call each other in a circle. Raises InvalidModelError if a function holds a node that does
    not fit the model's version of its domain.
    """
    if not proto.functions:
        return proto, []
    imports = {_domain(o.domain): o.version for o in proto.opset_import}
    kept = [f for f in proto.functions if not _is_operator(f, imports)]
    named = [f"{_domain(f.domain) or 'ai.onnx'}::{f.name}" for f in proto.functions if f not in kept]
    del proto.functions[:]
    proto.functions.extend(kept)
    notes = [f"the file's function {n} is not used: runtimes have an operator of that name" for n in named]
    for function in proto.functions:
        notes += _as_of_the_model(function, proto, imports)
    if any(f.attribute_proto for f in proto.functions):
        return _callers_first(proto), notes
    return onnx.inliner.inline_local_functions(proto), notes


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name


def _is_operator(function: onnx.FunctionProto, imports: Mapping[str, int]) -> bool:
    domain = _domain(function.domain)
    if domain == _RUNTIMES_OWN:
        return is_known(domain, function.name)
    version = imports.get(domain, onnx.defs.onnx_opset_version() if domain == "" else 1)
    return domain in _ONNX and onnx.defs.has(function.name, max_inclusive_version=version, domain=domain)


def _calls(proto: onnx.ModelProto) -> nx.DiGraph:
    """Build the graph of calls between functions, which are named by domain and name."""
    names = {(f.domain, f.name) for f in proto.functions}
    calls = nx.DiGraph()
    calls.add_nodes_from(names)
    for function in proto.functions:
        inner = {(n.domain, n.op_type) for n in every_node(function.node)} & names
        calls.add_edges_from(((function.domain, function.name), name) for name in sorted(inner))
    return calls


def _as_of_the_model(function: onnx.FunctionProto, proto: onnx.ModelProto, imports: Mapping[str, int]) -> Iterator[str]:
    """Let a function import the model's versions of operator sets; yield a note if that changes what its nodes mean."""
    written = {_domain(o.domain): o.version for o in function.opset_import}
    del function.opset_import[:]
    for domain in {**written, **imports}:
        version = imports.get(domain, written.get(domain, 1))
        function.opset_import.append(onnx.helper.make_opsetid(domain, version))
        if domain not in imports and domain not in {_domain(o.domain) for o in proto.opset_import}:
            proto.opset_import.append(onnx.helper.make_opsetid(domain, version))
    changed = set()
    for node in every_node(function.node):
        domain = _domain(node.domain)
        old, new = written.get(domain), imports.get(domain)
        if domain in _ONNX and old is not None and new is not None and old != new:
            changed |= _changed(node, function, old, new)
    if changed:
        yield (
            f"the function {function.domain}::{function.name} is written for another opset than the model: runtimes "
            f"read its {', '.join(sorted(changed))} as of the model's, and so does the explanation"
        )


def _changed(node: onnx.NodeProto, function: onnx.FunctionProto, old: int, new: int) -> set[str]:
    """Give the operator's name if it has another meaning in the model's opset; raise InvalidModelError if the node does
    not fit that opset."""
    domain = _domain(node.domain)
    known = [onnx.defs.has(node.op_type, max_inclusive_version=v, domain=domain) for v in (old, new)]
    if not known[0]:
        return set()
    schema = onnx.defs.get_schema(node.op_type, new, domain) if known[1] else None
    if schema is not None and schema.since_version == onnx.defs.get_schema(node.op_type, old, domain).since_version:
        return set()
    fits = schema is not None and schema.min_input <= len(node.input) <= schema.max_input
    if schema is None or not fits or any(a.name not in schema.attributes for a in node.attribute):
        raise InvalidModelError(
            f"{node.op_type} node {node.name!r} of the function {function.domain}::{function.name} is written for "
            f"opset {old}, but runtimes read it as of the model's opset {new}, where it is no such operator: export "
            "the function in the model's opset"
        )
    return {node.op_type}


def _callers_first(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Inline the functions that have attributes with defaults, because the library's inliner forgets the defaults. Each
    call first gets those that it leaves out; a function is inlined only after all functions that call it, because such
    a call may itself leave an attribute to the default."""
    calls = _calls(proto)
    for name in nx.topological_sort(calls):
        given = {f.overload: f.attribute_proto for f in proto.functions if (f.domain, f.name) == name}
        for node in every_node(proto.graph.node):
            if (node.domain, node.op_type) == name:
                own = {a.name for a in node.attribute}
                node.attribute.extend(a for a in given.get(node.overload, ()) if a.name not in own)
        functions = [f for f in proto.functions if (f.domain, f.name) != name]
        proto = onnx.inliner.inline_selected_functions(proto, [name])
        del proto.functions[:]
        proto.functions.extend(functions)
    return proto
