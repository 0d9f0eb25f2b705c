"""Rewrite an explained model for runtimes that lack some of ONNX: every pass avoids one construct, and is exact."""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.finish.portable.closed_bodies import close_bodies
from onnxlrp.finish.portable.flat_gathers import flatten_gathers
from onnxlrp.finish.portable.folded_weights import fold_weights
from onnxlrp.finish.portable.gathered_reversals import gather_reversals
from onnxlrp.finish.portable.lowered_opset import lower_opset
from onnxlrp.finish.portable.negated_twins import give_twins
from onnxlrp.finish.portable.plain_comparisons import plain_comparisons
from onnxlrp.finish.portable.plain_ramps import plain_ramps
from onnxlrp.finish.portable.plain_reshapes import plain_reshapes
from onnxlrp.finish.portable.states_first import put_states_first
from onnxlrp.finish.portable.unlike_gelus import write_gelus_apart
from onnxlrp.finish.portable.unrolled_scans import unroll_scans
from onnxlrp.finish.portable.whole_recurrences import name_all_states
from onnxlrp.graph.builder import Builder
from onnxlrp.graph.names import unused_scope
from onnxlrp.source.read import Source
from onnxlrp.source.unused import remove_unused

_PASSES = (
    write_gelus_apart,
    flatten_gathers,
    gather_reversals,
    plain_comparisons,
    plain_ramps,
    plain_reshapes,
    put_states_first,
    fold_weights,
    give_twins,
)
"""The passes over each graph, in their order: twins are given to weights that are computed already."""


def make_portable(source: Source, op: Builder) -> list[str]:
    """Rewrite the finished graph of `op` in place, and return notes about what could not be avoided."""
    model = source.model
    scope = unused_scope(model.graph, "portable")
    fold_weights(_builder(op, model.graph, scope))
    unroll_scans(_builder(op, model.graph, f"{scope}_unrolled"))
    close_bodies(_builder(op, model.graph, f"{scope}_closed"))
    for graph in (model.graph, *model.graph.subgraphs()):
        for rewrite in _PASSES:
            rewrite(_builder(op, graph, f"{scope}_{rewrite.__name__}"))
        graph.sort()
    remove_unused(model)
    for graph in (model.graph, *model.graph.subgraphs()):
        name_all_states(graph)
    return lower_opset(model)


def _builder(op: Builder, graph: ir.Graph, scope: str) -> Builder:
    builder = Builder(graph, scope, op.profile)
    builder.label("portable")
    return builder
