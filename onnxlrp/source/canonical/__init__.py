"""Rewrite a graph to its canonical form: the same function, written in one way. Each file holds one rewrite, with its
algebra in the docstring."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Collection, Iterable

import onnx_ir as ir
import onnx_ir.passes.common as passes
from onnxscript.optimizer import fold_constants

from onnxlrp.memory import GROWING
from onnxlrp.source.canonical import (
    affine,
    casts,
    concats,
    early_rows,
    in_floats,
    one_hot_lookups,
    one_tree,
    pads,
    products,
    remove_identities,
    softmaxes,
    split_gathers,
    split_to_sequence,
    uint8_qdq,
    unpack_sequences,
    unroll_sequence_loops,
    unroll_sequence_maps,
)
from onnxlrp.source.canonical.common import Rewriter
from onnxlrp.source.canonical.folded_sizes import fold_sizes
from onnxlrp.source.canonical.hoist_initializers import move_weights_out
from onnxlrp.source.inference import infer
from onnxlrp.source.loggers import quiet
from onnxlrp.source.unused import remove_unused

LISTS = (unroll_sequence_maps.rewrite, unroll_sequence_loops.rewrite, unpack_sequences.rewrite)
"""Rewrites that remove lists. The graph is folded again after them, because the number of each step of an unrolled loop
is then a constant."""
REWRITES = (
    uint8_qdq.rewrite,
    in_floats.rewrite,
    remove_identities.rewrite,
    concats.rewrite,
    split_gathers.rewrite,
    softmaxes.rewrite,
    products.rewrite,
    pads.rewrite,
    affine.rewrite,
    one_tree.rewrite,
    one_hot_lookups.rewrite,
)
"""Rewrites in the order in which each finds what it needs: first integer computations get a copy in floats, then the
nodes that lie between layers are removed, then products are written in one form, and last come the folds."""

_FOLDED_SIZE = 1024
"""Largest number of elements of an operand or a result of folding, so that only shape arithmetic is folded here;
computations on weights stay chains of nodes, which the session folds."""
_COMPUTED_SIZE = 1 << 20
"""Largest number of elements that a result may have to be computed at all; larger ones would never be kept."""


def canonicalise(model: ir.Model, *, kept: Collection[str] | None = None) -> dict[str, str]:
    """Rewrite the model in place. Returns the inner values that no longer exist, each with the place that absorbed it.

    `kept` names the inner values that keep all their rows (`early_rows`); None if all do.

    Requires the laws of `source.spec.READ`, ensures those of `source.spec.CANONICAL`.
    """
    casts.write_as_casts(model)
    fold(model)
    absorbed, pasted = _rewrite(model, LISTS)
    if pasted:
        # The first folding finds the step numbers, the second the conditions on sizes that follow from them.
        fold(model)
        infer(model)
        fold(model)
    if fold_sizes(model):
        # Sizes that follow from those of a Reshape to known sizes are found in the second round.
        fold(model)
        infer(model)
        if fold_sizes(model):
            fold(model)
    last = () if kept is None else (functools.partial(early_rows.rewrite, kept=kept),)
    absorbed |= _rewrite(model, (*REWRITES, *last))[0]
    remove_unused(model)
    passes.NameFixPass()(model)
    infer(model)
    return absorbed


def fold(model: ir.Model) -> None:
    # The optimizer logs every list and loop that it does not fold.
    quiet("onnxscript.optimizer")
    # If folding fails at one operator, the nodes that are not folded yet stay as they are, which is correct too.
    with split_to_sequence.as_defined(model), contextlib.suppress(RuntimeError):
        fold_constants(model, input_size_limit=_FOLDED_SIZE, output_size_limit=_FOLDED_SIZE, should_fold=_refuse_large)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    move_weights_out(model.graph)


def _refuse_large(node: ir.Node) -> bool | None:
    """Refuse to fold a node whose result would be thrown away for its size, because the library computes the result
    first."""
    shapes = [v.shape for v in node.outputs]
    if any(s is not None and s.is_static() and math.prod(s.numpy()) > _COMPUTED_SIZE for s in shapes):
        return False
    unknown = any(s is None or not s.is_static() for s in shapes)
    return False if unknown and node.op_type in GROWING else None


def _rewrite(model: ir.Model, rewrites: Iterable[Callable[[Rewriter], None]]) -> tuple[dict[str, str], bool]:
    """Apply rewrites to the graph and its bodies. Returns the names that were absorbed, and True if a body was written
    out."""
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
