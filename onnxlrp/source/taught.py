"""Operators that ONNX does not know, taught to its shape inference.

ONNX keeps one table of operators for the whole process, in which other conversions look things up at the same time.
So a schema is entered once and stays, under a domain of our own that no model uses: nodes bear that domain while they
are inferred, and nobody else's models are read differently.
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

_TYPES = ("float", "float16", "double", "bfloat16", *(f"{u}int{b}" for u in ("", "u") for b in (4, 8, 16, 32, 64)))
_ENTERING = threading.Lock()
_DOMAINS: dict[tuple[str, Inference, int], str] = {}
"""The domain of every schema that was entered, by operator, inference function and number of operands."""


def is_known(node: ir.Node) -> bool:
    """Decide whether shapes and types go through a node: ONNX or the registry can infer them."""
    return onnx.defs.has(node.op_type, domain=node.domain) or _inference(node) is not None


@contextlib.contextmanager
def taught(nodes: Iterable[ir.Node], imports: dict[str, int]) -> Iterator[None]:
    """While this lasts ONNX infers those of some nodes that only the registry can infer; `imports` are the versions of
    operator sets that these nodes' model names."""
    renamed = []
    for node in nodes:
        inference = _inference(node)
        if inference is not None:
            renamed.append((node, node.domain))
            node.domain = _domain(node.op_type, inference, len(node.inputs))
            imports[node.domain] = 1
    try:
        yield
    finally:
        for node, domain in renamed:
            imports.pop(node.domain, None)
            node.domain = domain


def _inference(node: ir.Node) -> Inference | None:
    entry = find(node)
    if entry is None or entry.inference is None or onnx.defs.has(node.op_type, domain=node.domain):
        return None
    return entry.inference


def _domain(op_type: str, inference: Inference, count: int) -> str:
    """The domain under which ONNX knows an operator of so many operands."""
    with _ENTERING:
        key = op_type, inference, count
        if key not in _DOMAINS:
            domain = f"onnxlrp.taught.{len(_DOMAINS)}"
            onnx.defs.register_schema(_schema(op_type, domain, inference, count))
            _DOMAINS[key] = domain
        return _DOMAINS[key]


def _schema(op_type: str, domain: str, inference: Inference, count: int) -> OpSchema:
    kinds = [f"tensor({t})" for t in _TYPES]
    optional = OpSchema.FormalParameterOption.Optional
    schema = OpSchema(
        op_type,
        domain,
        1,
        inputs=[OpSchema.FormalParameter(f"x{i}", f"T{i}", param_option=optional) for i in range(count)],
        outputs=[OpSchema.FormalParameter("y", "T")],
        type_constraints=[(t, kinds, "") for t in ("T", *(f"T{i}" for i in range(count)))],
    )
    schema.set_type_and_shape_inference_function(_where_known(inference))
    return schema


def _where_known(inference: Inference) -> Inference:
    """An operand has no type (None) downstream of an unknown operator: one failure would end all inference."""

    def infer(context: Any) -> None:
        with contextlib.suppress(AttributeError):
            inference(context)

    return infer
