"""Laws of an explained model, once its relevance part is emitted and once it is finished. Tests assert them."""

from __future__ import annotations

from collections.abc import Collection

import onnx_ir as ir

from onnxlrp.graph.call import graphs_of
from onnxlrp.graph.provenance import is_relevance
from onnxlrp.graph.well_formed import STRUCTURE, violations
from onnxlrp.operators.quantised import DEPLOYED


def check_emitted(graph: ir.Graph, own: Collection[ir.Node]) -> list[str]:
    """Collect the nodes of the relevance part that do not say what rule they came from; `own` are the source's.

    A loop of the source may be another node now, with more outputs, and bodies hold copies of the source's nodes.
    """
    nodes = [n for n in graph if n not in own and not graphs_of(n) and not is_relevance(n)]
    return [f"{n.op_type} {n.name!r} says no rule that it came from" for n in nodes]


def check_finished(model: ir.Model) -> list[str]:
    """Collect what a finished model violates: names, order, versions, and operators that only a conversion knows."""
    inside = [n for n in model.graph.all_nodes() if n.domain == DEPLOYED]
    return [*violations(model, STRUCTURE), *(f"{n.op_type} {n.name!r} is no operator of a runtime" for n in inside)]
