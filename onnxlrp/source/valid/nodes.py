"""Check a node against its operator's schema: the numbers of inputs and outputs, and which of them may be left out."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from onnxlrp.errors import InvalidModelError
from onnxlrp.operators.before_onnx import EXPERIMENTS
from onnxlrp.source.valid import attributes, list_tables, tree_columns
from onnxlrp.source.valid.refusal import Refuse, node_refusal
from onnxlrp.source.valid.schemas import USUAL, Formal, Schema, schema_of
from onnxlrp.source.valid.scope import Scope, Signature

_EARLIER = ("LayerNormalization", *EXPERIMENTS)
"""Operators that onnxruntime accepts at every version of the operator set, because its tools write them into older
files."""

_IMPLIED = ("ai.onnx", "com.microsoft", "com.ms.")
"""Prefixes of the names of operator sets that runtimes know and some tools do not import."""


def check(node: onnx.NodeProto, scope: Scope) -> Schema | None:
    """Raise InvalidModelError if a node contradicts its schema; return the schema, None if there is none."""

    def refuse(what: str) -> InvalidModelError:
        return node_refusal(node, scope.opsets, what)

    _check_texts(node, refuse)
    domain = "" if node.domain == "ai.onnx" else node.domain
    if domain and domain not in scope.opsets and not domain.startswith(_IMPLIED):
        raise refuse(f"the model imports no operator set {domain!r}")
    signature = scope.functions.get((domain, node.op_type, node.overload))
    if signature is not None:
        _check_call(node, signature, scope, refuse)
    version = scope.opsets.get(domain, 1 if domain else USUAL)
    schema = None if signature is not None else schema_of(node.op_type, domain, version)
    attributes.check(node, schema, refuse, in_function=scope.in_function)
    if not any(node.output):
        raise refuse("it has no outputs")
    if schema is not None:
        _check_version(node, schema, refuse)
        _check_counts(node, schema, refuse)
        list_tables.check(node, refuse, scope.held)
        tree_columns.check(node, refuse, scope.held)
    return schema


def _check_texts(node: onnx.NodeProto, refuse: Refuse) -> None:
    """Raise an error if a name is no text: protobuf returns bytes for it."""
    if not all(isinstance(text, str) for text in (node.op_type, node.domain, node.name, *node.input, *node.output)):
        raise refuse("one of its names is no UTF-8 text")
    if not node.op_type:
        raise refuse("it names no operator")


def _check_version(node: onnx.NodeProto, schema: Schema, refuse: Refuse) -> None:
    """Raise an error if the operator set lacks the operator, unless onnxruntime accepts it at every version."""
    if not schema.is_exact and node.op_type not in _EARLIER:
        raise refuse(f"the operator set has the operator from version {schema.since} on only")


def _check_call(node: onnx.NodeProto, signature: Signature, scope: Scope, refuse: Refuse) -> None:
    if node.domain not in scope.opsets:
        raise refuse(f"it calls a function of {node.domain!r}, and the model imports no operator set of that name")
    inputs, outputs = signature
    if len(node.input) > inputs or len(node.output) > outputs:
        raise refuse(
            f"it has {len(node.input)} inputs and {len(node.output)} outputs, and the function that it calls has "
            f"{inputs} and {outputs}"
        )


def _check_counts(node: onnx.NodeProto, schema: Schema, refuse: Refuse) -> None:
    fewest_in, most_in, fewest_out, most_out = schema.counts
    if not fewest_in <= len(node.input) <= most_in:
        raise refuse(f"it has {len(node.input)} inputs, and the operator takes {_between(fewest_in, most_in)}")
    if not fewest_out <= len(node.output) <= most_out:
        raise refuse(f"it has {len(node.output)} outputs, and the operator gives {_between(fewest_out, most_out)}")
    _check_present(node.input, schema.inputs, "input", refuse)
    _check_present(node.output, schema.outputs, "output", refuse)


def _check_present(names: Sequence[str], formals: Sequence[Formal], kind: str, refuse: Refuse) -> None:
    for name, formal in zip(names, formals, strict=False):
        if not name and formal.is_required:
            raise refuse(f"its {kind} {formal.name!r} is left out, and the operator needs it")


def _between(fewest: int, most: int) -> str:
    if fewest == most:
        return str(fewest)
    return f"{fewest} or more" if most > 1 << 16 else f"{fewest} to {most}"
