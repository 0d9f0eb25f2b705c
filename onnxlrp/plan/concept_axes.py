"""Decide which axis of an inner value a mask of concepts runs along: channels, heads or features."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

import networkx as nx
import onnx_ir as ir

from onnxlrp.analysis.attention_products import weights_operand
from onnxlrp.analysis.facts import Facts
from onnxlrp.errors import InputError
from onnxlrp.operators.registry import find
from onnxlrp.plan.inner_values import inner_values
from onnxlrp.plan.steps import Plan
from onnxlrp.plan.traced_axes import picture_axes, trace_axes
from onnxlrp.source.question import Question


@dataclasses.dataclass(frozen=True)
class Concept:
    """An inner value whose relevance a mask is multiplied with, and the axes that the mask runs along."""

    value: ir.Value
    samples: int | None
    """The axis that counts samples; None where the value has none, so that one mask is for all."""
    channels: int
    """The axis that the mask chooses along."""
    kind: str
    """The meaning of that axis: "channels", "heads" or "features"."""
    beside: bool = False
    """True where relevance reaches an input by ways that do not pass the value, such as a shortcut."""

    @property
    def count(self) -> int | None:
        """The number of channels; None where the model leaves it open."""
        size = (self.value.shape or ())[self.channels]
        return size if isinstance(size, int) else None

    @property
    def note(self) -> str:
        """A sentence for the plan."""
        count = "" if self.count is None else f"{self.count} "
        others = "; relevance passes beside it, too, which a mask of zeros shows" if self.beside else ""
        return f"the mask of {self.value.name!r} runs along its {count}{self.kind}, axis {self.channels}{others}"


def decide_concepts(
    graph: ir.Graph, facts: Facts, plan: Plan, question: Question, names: Sequence[str], absorbed: Mapping[str, str]
) -> list[Concept]:
    """Find the values and the axes of their masks; `absorbed` maps values of the source that are gone to where they
    went.

    Raises InputError for a name that no value has, for a value at which no relevance arrives, and for one without an
    axis of channels.
    """
    heads = {v for node in graph for v in _with_heads(node, facts)} if names else set()
    found = [_concept(facts, question, value, heads) for value in inner_values(graph, plan, names, absorbed)]
    return [dataclasses.replace(one, beside=_passes_beside(plan, one.value)) for one in found]


def _passes_beside(plan: Plan, value: ir.Value) -> bool:
    """Decide whether some way from the score to an input does not pass the step that makes a value."""
    makers = {step.name for step in plan.steps if value in step.outputs}
    kept = nx.restricted_view(plan.graph, makers, ())
    steps = {step.name for step in plan.steps}
    return "score" in kept and any(node not in steps for node in nx.descendants(kept, "score"))


def _concept(facts: Facts, question: Question, value: ir.Value, heads: set[ir.Value]) -> Concept:
    rank = None if value.shape is None else len(value.shape)
    if rank is None or rank < 2:
        axes = "its rank is not known" if rank is None else f"it has {rank} axes"
        raise InputError(f"{value.name!r} has no axis of channels that a mask could run along: {axes}")
    if rank > 2 and (found := _picture_axes(facts, value)) is not None:
        return Concept(value, *found, "channels")
    if value in heads:
        return Concept(value, 0, 1, "heads")
    return Concept(value, _samples(question, value, rank - 1), rank - 1, "features")


def _picture_axes(facts: Facts, value: ir.Value) -> tuple[int | None, int] | None:
    """Find the axes of samples and channels of a feature map: a convolution or pool upstream or, where there is none,
    downstream tells them. None for any other value."""
    order = picture_axes(value)
    if order is not None and 1 in order:
        return order.index(0) if 0 in order else None, order.index(1)
    for layer in facts.layers.values():
        traced = trace_axes(layer.z, value) if layer.kind == "convolution" else None
        if traced is not None and traced.input[1] is not None:
            return traced.input[0], traced.input[1]
    return None


def _with_heads(node: ir.Node, facts: Facts) -> Iterator[ir.Value]:
    """Yield the values [N, heads, ., .] around a product of attention weights with values: the weights, what they are
    computed from up to the product of queries and keys, that product's operands, the values and the result."""
    index = weights_operand(node, facts.data) if node.op_type == "MatMul" else None
    if index is None:
        return
    found = [*node.inputs, node.outputs[0]]
    value = node.inputs[index]
    while (maker := None if value is None else value.producer()) is not None:
        found += maker.inputs
        if maker.op_type == "MatMul" or not _keeps_axes(maker):
            break
        value = next((v for v in maker.inputs if v in facts.data), None)
    yield from (v for v in found if v is not None and v.shape is not None and len(v.shape) == 4)


def _keeps_axes(node: ir.Node) -> bool:
    entry = find(node)
    return node.op_type in ("Softmax", "Dropout", "Identity", "Cast") or (entry is not None and entry.elementwise)


def _samples(question: Question, value: ir.Value, channels: int) -> int | None:
    """Find the axis that bears the name of the batch, else axis 0."""
    shape, axis = question.score.shape or (), None if question.axes is None else question.axes.batch
    batch = shape[axis] if axis is not None and axis < len(shape) else None
    named = isinstance(batch, ir.SymbolicDim) and batch.value is not None
    found = [i for i, size in enumerate(value.shape or ()) if named and size == batch and i != channels]
    return found[0] if len(found) == 1 else 0
