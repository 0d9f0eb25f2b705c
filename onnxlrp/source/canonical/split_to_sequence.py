"""Make onnxscript's folding treat SplitToSequence as ONNX defines it.

If sizes are given, ONNX ignores `keepdims` (operators' page of ONNX, SplitToSequence-11), but the folding squeezes the
parts all the same; torch writes `unbind` and `nonzero(as_tuple=True)` with given sizes. On a single size that is known
only at run time the folding fails, and would leave all later nodes unfolded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import onnx_ir as ir

from onnxlrp.graph.call import content

_ASIDE = "onnxlrp.aside"


@contextlib.contextmanager
def as_defined(model: ir.Model) -> Iterator[None]:
    """While this context lasts, take off the ignored `keepdims`, and hide the nodes at which the folding fails."""
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
