"""The words of a refusal: which node, which operator, what is wrong, what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx

from onnxlrp.errors import InvalidModelError

Refuse = Callable[[str], InvalidModelError]
"""Makes the error of one part of the model from what is wrong with it."""
_WAY_OUT = "export the model again, or repair it"


def refused(what: str, way_out: str = _WAY_OUT) -> InvalidModelError:
    """The error of a model's part that is no node."""
    return InvalidModelError(f"the model is invalid: {what}; {way_out}")


def refused_node(
    node: onnx.NodeProto, opsets: Mapping[str, int], what: str, way_out: str = _WAY_OUT
) -> InvalidModelError:
    """The error of a node, with its name, operator, domain and version."""
    return InvalidModelError(f"{described(node, opsets)}: {what}; {way_out}")


def described(node: onnx.NodeProto, opsets: Mapping[str, int]) -> str:
    """A node as users know it; one without a name by its first output."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    version = opsets.get(domain)
    opset = "" if version is None else f", opset {version}"
    return f"{node.op_type} node {called(node)} ({domain or 'ai.onnx'}::{node.op_type}{opset})"


def called(node: onnx.NodeProto) -> str:
    """The name of a node; one without a name is the one that computes its first output."""
    output = next(iter(node.output), "")
    return repr(node.name) if node.name or not output else f"that computes {output!r}"
