"""Splits into lists as ONNX defines them, where onnxscript's folding reads them otherwise.

Where sizes are given, `keepdims` is ignored (operators' page of ONNX, SplitToSequence-11); the folding squeezes all the
same, and torch writes `unbind` and `nonzero(as_tuple=True)` so. Of a single size that only a run knows it fails, and so
would leave all that comes behind.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import onnx_ir as ir

from onnxlrp.graph.call import content

_ASIDE = "onnxlrp.aside"


@contextlib.contextmanager
def as_defined(model: ir.Model) -> Iterator[None]:
    """While the model's constants are folded: no attribute that is ignored, and out of sight what would stop it."""
    aside = []
    for node in model.graph.all_nodes():
        sizes = node.inputs[1] if node.op_type == "SplitToSequence" and len(node.inputs) > 1 else None
        if node.domain != "" or sizes is None:
            continue
        node.attributes.pop("keepdims", None)
        if sizes.shape is not None and len(sizes.shape) == 0 and content(sizes) is None:
            node.domain = _ASIDE
            aside.append(node)
    try:
        yield
    finally:
        for node in aside:
            node.domain = ""
