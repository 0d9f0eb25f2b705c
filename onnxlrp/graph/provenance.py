"""The provenance of a node: marks that say which rule wrote it, or how a node of the model's own is used."""

from __future__ import annotations

import onnx_ir as ir

RULE = "onnxlrp.rule"
"""The key of a node's metadata that names the step and rule that it comes from; explained files keep it."""
_OWN = "onnxlrp.own"
_REPLACED = "onnxlrp.deployed"
_COUNTED = "onnxlrp.counted"


def mark_rule(node: ir.Node, text: str) -> None:
    """Note the step and rule that a node of the relevance part comes from."""
    node.metadata_props[RULE] = text


def is_relevance(node: ir.Node) -> bool:
    """Decide whether a node belongs to the relevance part."""
    return RULE in node.metadata_props


def mark_own(node: ir.Node) -> None:
    """Note that a node stands in a graph with quantised activations as the source has it."""
    node.metadata_props[_OWN] = "source"


def is_own(node: ir.Node) -> bool:
    """Decide whether a node stands in a graph with quantised activations as the source has it."""
    return _OWN in node.metadata_props


def mark_replaced(node: ir.Node) -> None:
    """Note that a computation in floats stands for a node of the model's own: no relevance goes there."""
    node.metadata_props[_REPLACED] = "source"


def is_replaced(node: ir.Node) -> bool:
    """Decide whether a computation in floats stands for a node of the model's own."""
    return _REPLACED in node.metadata_props


def mark_counted(node: ir.Node) -> None:
    """Note that a tree ensemble's hit rates were counted from background rows, so that the file keeps them."""
    node.metadata_props[_COUNTED] = "background"


def is_counted(node: ir.Node) -> bool:
    """Decide whether a tree ensemble's hit rates were counted from background rows."""
    return _COUNTED in node.metadata_props


def unmark(node: ir.Node) -> None:
    """Remove the marks that a file does not keep."""
    node.metadata_props.pop(_OWN, None)
    node.metadata_props.pop(_REPLACED, None)
    node.metadata_props.pop(_COUNTED, None)
