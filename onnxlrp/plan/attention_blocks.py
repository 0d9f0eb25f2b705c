"""Find the attention blocks that the tokens of an input pass, and the place of these tokens on the input."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Sequence

import onnx_ir as ir

from onnxlrp.analysis.attention_products import softmax_over_last, weights_operand
from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.reach import values_leading_to_input
from onnxlrp.composites import Composite
from onnxlrp.errors import InputError
from onnxlrp.graph.walks import read_by, upstream
from onnxlrp.plan.axis_factors import Axes, AxisFactor, follow_axes, run_of, sizes_of
from onnxlrp.plan.sized_copy import sized_copy
from onnxlrp.plan.steps import AttentionBlock, Rollout
from onnxlrp.plan.traced_axes import Traced
from onnxlrp.source.question import Question


def decide_rollout(graph: ir.Graph, facts: Facts, question: Question, composite: Composite) -> Rollout | None:
    """Find the blocks of every input; None where the composite rolls no attention out.

    Raises InputError where there are none, or where the tokens of an input cannot be followed through all of them.
    """
    if composite.rolling is None:
        return None
    nodes = [node for node in upstream([question.score], read_by) if weights_operand(node, facts.data) is not None]
    products = sorted(nodes, key=facts.order.__getitem__)
    copy, found = sized_copy(graph), dict[ir.Value, _Tokens]()
    for value in question.inputs:
        leading = values_leading_to_input(graph, facts.operands, facts.data, [value])
        own = [node for node in products if any(v in leading for v in node.inputs)]
        try:
            found.update({value: _tokens(copy, value, own, facts.data)} if own else {})
        except _LostError as e:
            others = "; inputs=[...] explains other inputs alone" if len(question.inputs) > 1 else ""
            raise InputError(f"{composite}: {e}, on the way to input {value.name!r}{others}") from e
    missed = [v for v in question.inputs if v not in found]
    if missed and (question.by_name or not found):
        raise InputError(
            f"{composite}: no softmax that is multiplied with values lies between {missed[0].name!r} and "
            f"{question.name!r}"
        )
    return Rollout(
        composite.rolling,
        {v: t.blocks for v, t in found.items()},
        {v: t.run for v, t in found.items()},
        {v: t.samples for v, t in found.items()},
        {v: t.place for v, t in found.items()},
    )


def rollout_note(wanted: Rollout) -> str:
    """Say in a sentence for the plan what is rolled out."""
    rolling, blocks = wanted.rolling, max(len(blocks) for blocks in wanted.blocks.values())
    return (
        f"the map is the product over {blocks} attention blocks of the {rolling.heads} of the heads, with the share "
        f"{rolling.residual:g} of the identity, in the rows of the last block that the score reads"
    )


class _LostError(Exception):
    """The tokens of an input cannot be followed; the message says where and why."""


@dataclasses.dataclass(frozen=True)
class _Tokens:
    """The blocks that the tokens of an input pass, and their place on the input."""

    blocks: tuple[AttentionBlock, ...]
    run: AxisFactor
    samples: AxisFactor
    place: Traced


def _tokens(copy: ir.Graph, value: ir.Value, products: Sequence[ir.Node], data: Collection[ir.Value]) -> _Tokens:
    """Follow the tokens of an input through attention products, which come in the model's order."""
    source = next(v for v in copy.inputs if v.name == value.name)
    sizes, axes = sizes_of(source), {v.name: found for v, found in follow_axes(copy, source).items()}
    if sizes is None:
        raise _LostError(f"the rank of {value.name!r} is not declared")
    found = [_block(node, axes, value, sizes, data) for node in products]
    for (node, (_, *runs)), (after, (block, *others)) in itertools.pairwise(zip(products, found, strict=True)):
        if runs != others:
            raise _LostError(f"the tokens of {_called(node)} are not those of {_called(after)}")
        if node not in upstream([block.weights], read_by):
            raise _LostError(f"{_called(node)} and {_called(after)} stand side by side, and a rollout is a product")
    _, run, samples = found[0]
    both = [r for r in (run, samples) if r.lead and r.trail]
    if both and not all(isinstance(size, int) for size in list(value.shape or ())[1:]):
        raise _LostError(
            f"other places lie on both ends of those of {value.name!r}, whose sizes are open: declare them"
        )
    return _Tokens(tuple(block for block, *_ in found), run, samples, _place(value, run, sizes))


def _block(
    node: ir.Node, axes: dict[str | None, Axes], value: ir.Value, sizes: Sequence[int], data: Collection[ir.Value]
) -> tuple[AttentionBlock, AxisFactor, AxisFactor]:
    """Describe an attention product, and return the runs of its tokens and samples along the axes of the input."""
    weights, product = node.inputs[0], node.outputs[0]
    assert weights is not None
    if weights_operand(node, data) != 0 or node.op_type != "MatMul" or not softmax_over_last(weights, data):
        raise _LostError(f"the weights of {_called(node)} are not the left factor, with a softmax over their last axis")
    found, out = axes.get(weights.name), axes.get(product.name)
    if found is None or out is None:
        raise _LostError(f"the axes of {value.name!r} cannot be followed to the weights of {_called(node)}")
    rows, tokens = run_of(found[-2]), run_of(found[-1])
    if tokens is None or 0 in tokens.axes:
        raise _LostError(f"{_called(node)} does not weigh tokens that lie along whole axes of {value.name!r}")
    if rows != tokens:
        raise _LostError(f"{_called(node)} weighs tokens of one sequence for those of another")
    for axis in (*found[:-2], *out[:-2]):
        if any(f.axes not in ((), (0,)) for f in axis):
            raise _LostError(f"{_called(node)} weighs the tokens of one row or column of {value.name!r} alone")
    samples = [[f for axis in part[:-2] for f in axis if f.axes] for part in (found, out)]
    if samples[0] != samples[1] or len(samples[0]) > 1 or (not samples[0] and sizes[0] != 1):
        raise _LostError(f"the samples of {value.name!r} cannot be told from heads in {_called(node)}")
    return AttentionBlock(weights, product, found[:-2], out[:-2]), tokens, (*samples[0], AxisFactor(1))[0]


def _place(value: ir.Value, tokens: AxisFactor, sizes: Sequence[int]) -> Traced:
    """Lay the weights of tokens [N, ...] on an input: those of patches are enlarged, those of single places are not."""
    patches = [2 if count != sizes[axis] else 1 for axis, count in zip(tokens.axes, tokens.sizes, strict=True)]
    known = value.shape is not None and all(isinstance(value.shape[i], int) for i in tokens.axes)
    if not known and (len(patches) > 1 or (2 in patches and (tokens.lead or tokens.trail))):
        raise _LostError(f"patches of {value.name!r} lie along axes whose sizes are open: declare them")
    return Traced((0, *patches), (0, *tokens.axes))


def _called(node: ir.Node) -> str:
    return f"{node.op_type} {node.name!r}"
