"""The canonical graph: the same function, written one way. One rewrite a file, its algebra in the docstring."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable

import onnx_ir as ir
import onnx_ir.passes.common as passes
from onnxscript.optimizer import fold_constants

from onnxlrp.memory import GROWING
from onnxlrp.source.canonical import (
    affine,
    casts,
    concats,
    in_floats,
    one_hot_lookups,
    one_tree,
    pads,
    products,
    remove_identities,
    softmaxes,
    split_to_sequence,
    uint8_qdq,
    unpack_sequences,
    unroll_sequence_loops,
    unroll_sequence_maps,
)
from onnxlrp.source.canonical.common import Rewriter
from onnxlrp.source.canonical.hoist_initializers import move_weights_out
from onnxlrp.source.inference import infer
from onnxlrp.source.loggers import quiet
from onnxlrp.source.unused import remove_unused

LISTS = (unroll_sequence_maps.rewrite, unroll_sequence_loops.rewrite, unpack_sequences.rewrite)
"""Nodes that these write out are folded again: in a step of a loop its number is known."""
REWRITES = (
    uint8_qdq.rewrite,
    in_floats.rewrite,
    remove_identities.rewrite,
    concats.rewrite,
    softmaxes.rewrite,
    products.rewrite,
    pads.rewrite,
    affine.rewrite,
    one_tree.rewrite,
    one_hot_lookups.rewrite,
)
"""In the order in which each finds what it needs: what is deployed in integers gets its floats, nothing in between,
plain products, then folds."""

_FOLDED_SIZE = 1024
"""Only shape arithmetic is folded here; weights stay chains that the session folds."""
_COMPUTED_SIZE = 1 << 20
"""Elements of a result that is computed at all: larger ones are never kept."""


def canonicalise(model: ir.Model) -> dict[str, str]:
    """Rewrite the model in place. Returns the inner values that are gone, each with where it went.

    Requires the laws of `source.spec.READ`, ensures those of `source.spec.CANONICAL`.
    """
    casts.write_as_casts(model)
    _fold(model)
    absorbed, pasted = _rewrite(model, LISTS)
    if pasted:
        # The numbers of the steps first, then what the sizes that follow from them decide.
        _fold(model)
        infer(model)
        _fold(model)
    absorbed |= _rewrite(model, REWRITES)[0]
    remove_unused(model)
    passes.NameFixPass()(model)
    infer(model)
    return absorbed


def _fold(model: ir.Model) -> None:
    # It says of every list and loop that it leaves them alone.
    quiet("onnxscript.optimizer")
    # If the folding of one operator fails, all that is not folded yet stays as it is, which is right too.
    with split_to_sequence.as_defined(model), contextlib.suppress(RuntimeError):
        fold_constants(model, input_size_limit=_FOLDED_SIZE, output_size_limit=_FOLDED_SIZE, should_fold=_refuse_large)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    move_weights_out(model.graph)


def _refuse_large(node: ir.Node) -> bool | None:
    """Leave a node alone whose result would be thrown away for its size: the library computes it first."""
    shapes = [v.shape for v in node.outputs]
    if any(s is not None and s.is_static() and math.prod(s.numpy()) > _COMPUTED_SIZE for s in shapes):
        return False
    unknown = any(s is None or not s.is_static() for s in shapes)
    return False if unknown and node.op_type in GROWING else None


def _rewrite(model: ir.Model, rewrites: Iterable[Callable[[Rewriter], None]]) -> tuple[dict[str, str], bool]:
    """Rewrite a graph; give back the names that were absorbed, and whether a body was written out."""
    absorbed: dict[str, str] = {}
    known: set[ir.Value] = set()
    pasted = False
    for graph in (model.graph, *model.graph.subgraphs()):
        rewriter = Rewriter(graph, known)
        for rewrite in rewrites:
            rewrite(rewriter)
        graph.sort()
        known |= rewriter.constants
        absorbed |= rewriter.absorbed
        pasted |= rewriter.pasted
    return absorbed, pasted
