"""Word a refusal: it names the node and its operator, says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx

from onnxlrp.errors import InvalidModelError

Refuse = Callable[[str], InvalidModelError]
"""A function that makes the error for one part of the model from a description of the fault."""
_WAY_OUT = "export the model again, or repair it"


def refusal(what: str, way_out: str = _WAY_OUT) -> InvalidModelError:
    """Make the error for a part of the model that is no node."""
    return InvalidModelError(f"the model is invalid: {what}; {way_out}")


def node_refusal(node: onnx.NodeProto, opsets: Mapping[str, int], what: str) -> InvalidModelError:
    """Make the error for a node, with its name, operator, domain and version."""
    return InvalidModelError(f"{described(node, opsets)}: {what}; {_WAY_OUT}")


def described(node: onnx.NodeProto, opsets: Mapping[str, int]) -> str:
    """Describe a node as users know it, with its name, operator, domain and version."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    version = opsets.get(domain)
    opset = "" if version is None else f", opset {version}"
    return f"{node.op_type} node {called(node)} ({domain or 'ai.onnx'}::{node.op_type}{opset})"


def called(node: onnx.NodeProto) -> str:
    """Give the name of a node; a node without a name is called the one that computes its first output."""
    output = next(iter(node.output), "")
    return repr(node.name) if node.name or not output else f"that computes {output!r}"
