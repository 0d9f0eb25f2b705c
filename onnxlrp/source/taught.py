"""Teach ONNX's shape inference the operators whose inference the registry defines.

ONNX keeps one table of operators for the whole process, which other conversions read at the same time. So a schema is
entered once and stays, in a domain of our own that no model uses. Nodes have that domain only while they are inferred,
and no other model is read differently.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import onnx
import onnx_ir as ir
from onnx.defs import OpSchema

from onnxlrp.operators.registry import find

Inference = Callable[[Any], None]

_INTEGERS = tuple(f"{u}int{b}" for u in ("", "u") for b in (4, 8, 16, 32, 64))
_TYPES = ("float", "float16", "double", "bfloat16", "string", *_INTEGERS)
_ENTERING = threading.Lock()
_DOMAINS: dict[tuple[str, Inference, int, int], str] = {}
"""The domain of every schema that has been entered, by operator, inference function and numbers of operands and
outputs."""


def is_taught(node: ir.Node) -> bool:
    """Decide whether types and shapes can be inferred for a node, by ONNX or by the registry."""
    return onnx.defs.has(node.op_type, domain=node.domain) or _inference(node) is not None


@contextlib.contextmanager
def taught(nodes: Iterable[ir.Node], imports: dict[str, int]) -> Iterator[None]:
    """While this context lasts, let ONNX infer nodes that only the registry can infer; `imports` are the versions of
    operator sets that the nodes' model names."""
    renamed = []
    for node in nodes:
        inference = _inference(node)
        if inference is not None:
            renamed.append((node, node.domain))
            node.domain = _domain(node, inference)
            imports[node.domain] = 1
    try:
        yield
    finally:
        for node, domain in renamed:
            imports.pop(node.domain, None)
            node.domain = domain


def _inference(node: ir.Node) -> Inference | None:
    entry = find(node)
    return None if entry is None else entry.inference


def _domain(node: ir.Node, inference: Inference) -> str:
    """Find, or enter, the domain in which ONNX knows an operator with this number of operands and outputs."""
    with _ENTERING:
        key = node.op_type, inference, len(node.inputs), len(node.outputs)
        if key not in _DOMAINS:
            domain = f"onnxlrp.taught.{len(_DOMAINS)}"
            onnx.defs.register_schema(_schema(domain, *key))
            _DOMAINS[key] = domain
        return _DOMAINS[key]


def _schema(domain: str, op_type: str, inference: Inference, operands: int, outputs: int) -> OpSchema:
    kinds = [f"tensor({t})" for t in _TYPES]
    names = [f"x{i}" for i in range(operands)], [f"y{i}" for i in range(outputs)]
    schema = OpSchema(
        op_type,
        domain,
        1,
        inputs=[_optional(name) for name in names[0]],
        outputs=[_optional(name) for name in names[1]],
        type_constraints=[(f"T{name}", kinds, "") for name in (*names[0], *names[1])],
    )
    schema.set_type_and_shape_inference_function(_where_known(inference))
    return schema


def _optional(name: str) -> OpSchema.FormalParameter:
    return OpSchema.FormalParameter(name, f"T{name}", param_option=OpSchema.FormalParameterOption.Optional)


def _where_known(inference: Inference) -> Inference:
    """Let an inference function give up quietly if an operand has no type (None), as downstream of an unknown operator,
    because one failure would end all inference."""

    def infer(context: Any) -> None:
        with contextlib.suppress(AttributeError):
            inference(context)

    return infer
