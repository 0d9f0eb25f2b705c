"""A map over a list of k tensors is its body written out k times.

`SequenceMap(f, [a, b], c) = [f(a, c), f(b, c)]`.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.misses import attempt, miss
from onnxlrp.graph.tensor_lists import is_list
from onnxlrp.source.canonical.common import Rewriter


def rewrite(rewriter: Rewriter) -> None:
    """Write out maps over lists that are constructed in the same graph."""
    for node in rewriter.nodes("SequenceMap"):
        lists = attempt("is not written out", node, _lists, node)
        if lists is not None:
            _write_out(rewriter, node, lists)


def _lists(node: ir.Node) -> list[ir.Node | None] | None:
    """The nodes that construct the lists, by operand; None where one is not constructed in this graph."""
    lists = [v.producer() if v is not None and is_list(v) else None for v in node.inputs]
    known = [n for n in lists if n is not None and n.op_type == "SequenceConstruct"]
    if sum(is_list(v) for v in node.inputs) == len(known) and len({len(n.inputs) for n in known}) == 1:
        return lists
    return miss("its lists are not constructed in the same graph, or are not of one length")


def _write_out(rewriter: Rewriter, node: ir.Node, lists: list[ir.Node | None]) -> None:
    body = node.attributes["body"].as_graph()
    count = next(len(n.inputs) for n in lists if n is not None)
    results: list[list[ir.Value]] = []
    for k in range(count):
        elements = [n.inputs[k] if n is not None else v for n, v in zip(lists, node.inputs, strict=True)]
        results.append(rewriter.paste(body, elements, f"{node.name}_{k}"))
    for index, old in enumerate(list(node.outputs)):
        whole = rewriter.op.SequenceConstruct(*(outputs[index] for outputs in results))
        ir.convenience.replace_all_uses_with(old, whole, replace_graph_outputs=True)
        whole.name, old.name = old.name, None
    rewriter.graph.remove(node, safe=True)
