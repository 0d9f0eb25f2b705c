"""Nodes that are too large to be written twice."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from onnxlrp.source.read import Source

_LARGE = 2**16
"""Bytes of attributes above which nodes are not written twice, such as those of a tree ensemble."""


def are_large(source: Source, nodes: Iterable[ir.Node]) -> bool:
    """Decide whether writing some nodes twice would make the file much larger."""
    return bool(source.held) or sum(_bytes(a) for node in nodes for a in node.attributes.values()) > _LARGE


def _bytes(attribute: ir.Attr) -> int:
    """Estimate the bytes of an attribute's content; graphs count nothing."""
    if attribute.type == ir.AttributeType.TENSOR:
        return attribute.as_tensor().nbytes
    lists = (ir.AttributeType.FLOATS, ir.AttributeType.INTS, ir.AttributeType.STRINGS)
    return 4 * len(attribute.value) if attribute.type in lists else 0
