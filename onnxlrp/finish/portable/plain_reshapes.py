"""Pass that removes the attribute `allowzero` of Reshape, which some runtimes refuse."""

from __future__ import annotations

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import content


def plain_reshapes(op: Builder) -> None:
    """Remove `allowzero` where the new shape is not known to hold a zero.

    A shape that only the run knows holds a zero for an empty tensor alone, for which explained models of this profile
    promise nothing.
    """
    for node in op.graph:
        if node.op_type == "Reshape" and node.domain == "" and "allowzero" in node.attributes:
            sizes = content(node.inputs[1])
            if not node.attributes["allowzero"].as_int() or sizes is None or (sizes != 0).all():
                del node.attributes["allowzero"]
