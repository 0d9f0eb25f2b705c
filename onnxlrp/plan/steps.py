"""The plan: the reversed relevance graph. Each step is a node, or a few nodes that count as one, with its rule and the
reason."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence

import networkx as nx
import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.elementwise_functions import Function
from onnxlrp.analysis.layers import Layer
from onnxlrp.composites import Composite, Role, Rolling
from onnxlrp.errors import UnsupportedOperatorError
from onnxlrp.graph.call import Call
from onnxlrp.notebook_html import notebook_table
from onnxlrp.operators.registry import Operator
from onnxlrp.plan.axis_factors import Axes, AxisFactor
from onnxlrp.plan.traced_axes import Traced
from onnxlrp.printable import escaped
from onnxlrp.reprs import Brief, counted, cut
from onnxlrp.rules import Rule

Overrides = Sequence[tuple[object, Rule]]


class StepKind(enum.Enum):
    """The kinds of step, by what they do with the relevance that arrives."""

    LAYER = "layer"
    SUM = "sum"
    """A step that is linear in all its data operands at once: relevance goes in proportion to the contributions."""
    SCALE = "scale"
    """One operand times a constant: relevance passes."""
    ROUTING = "routing"
    PASS_THROUGH = "pass"
    RECTIFIER = "rectifier"
    OFFSET = "offset"
    """An activation that keeps the share of its value at 0 and passes the rest on."""
    SLOPE = "slope"
    """A function without a value at 0: relevance passes in proportion to its derivative."""
    PRODUCT = "product"
    CUSTOM = "custom"
    LOOKUP = "lookup"
    CONTROL = "control"
    """Walks the graphs inside the node."""


@dataclasses.dataclass
class Step:
    """One node of the plan: what happens to the relevance that arrives at it."""

    name: str
    """The node's name."""
    operator: str
    """The node's operator, such as "Conv"."""
    node: ir.Node
    """The node itself, or the last of several that are explained as one."""
    call: Call
    """The operator with its operands and attributes."""
    entry: Operator
    """The operator's entry in the registry."""
    kind: StepKind
    """The kind of step."""
    operands: dict[int, ir.Value]
    """Operand index -> the data that relevance goes to."""
    outputs: tuple[ir.Value, ...]
    """The values at which relevance arrives."""
    rule: Rule | None = None
    """The rule; None for a step that needs none."""
    why: str = ""
    """The reason for the rule, in a few words."""
    layer: Layer | None = None
    """The layer with its weight and bias; None for any other step."""
    role: Role | None = None
    """The facts by which the composite chose the rule of a layer; None for any other step."""
    reference: np.ndarray | None = None
    """The value of a layer's input at the reference of the kernel that the layer leads to, [1, features]; None for
    other layers."""
    shares: dict[int, float] = dataclasses.field(default_factory=dict)
    """The shares of a product's operands, by operand index."""
    same_sign: bool = False
    """True for an activation whose output has its operand's sign, or is 0."""

    function: Function | None = None
    """The elementwise function that an `OFFSET` or `SLOPE` step computes."""

    inner: tuple[Step, ...] = ()
    """The steps inside the node's bodies."""
    columns: range | None = None
    """The output columns of a product that receive relevance; None where all do, or any may."""
    exact: bool = False
    """True for an affine step between the score and operators with a base value: no stabiliser takes a share."""

    def __repr__(self) -> str:
        return f"<Step {cut(self.name)}: {cut(self.operator, 40)}, {cut(self.rule_text)}, {cut(self.why)}>"

    @property
    def rule_text(self) -> str:
        return str(self.rule) if self.rule is not None else self.kind.value

    @property
    def receivers(self) -> list[ir.Value]:
        """The operands that relevance is sent to: not a gate, which decides how much of a signal passes."""
        return [v for i, v in self.operands.items() if self.kind is not StepKind.PRODUCT or i in self.shares]


@dataclasses.dataclass(frozen=True)
class PlanRow(Brief):
    """A line of the plan's table."""

    node: str
    """The node's name."""
    operator: str
    """The node's operator."""
    rule: str
    """The rule, or the kind of step where none is needed."""
    why: str
    """The reason, in a few words."""


@dataclasses.dataclass(frozen=True)
class ActivationMap:
    """An inner value whose channels are weighted and added up, and the inputs that the map is enlarged to."""

    value: ir.Value
    """The inner value."""
    by_element: bool
    """True where each element has a weight of its own, False where the whole channel has one."""
    axes: Mapping[ir.Value, Traced]
    """The value's axes on each explained input."""

    @property
    def ends(self) -> tuple[ir.Value, ...]:
        """The values whose gradient is asked for."""
        return (self.value,)


@dataclasses.dataclass(frozen=True)
class AttentionBlock:
    """Attention weights [..., rows, tokens], and their product with the values, [..., rows, features]."""

    weights: ir.Value
    """The weights."""
    product: ir.Value
    """The product."""
    leading: Axes
    """The factors of all axes of the weights but the last two: samples and heads."""
    of_product: Axes
    """The factors of all axes of the product but the last two."""


@dataclasses.dataclass(frozen=True)
class Rollout:
    """The attention blocks that each explained input's tokens pass, and the place of the tokens on the input."""

    rolling: Rolling
    """The way to turn a block's weights into one matrix."""
    blocks: Mapping[ir.Value, tuple[AttentionBlock, ...]]
    """The blocks of each input, in the model's order."""
    tokens: Mapping[ir.Value, AxisFactor]
    """The run of tokens along the axes of each input."""
    samples: Mapping[ir.Value, AxisFactor]
    """The run of samples along axis 0 of each input."""
    axes: Mapping[ir.Value, Traced]
    """The axes of the weights of tokens [N, ...] on each input."""

    @property
    def ends(self) -> tuple[ir.Value, ...]:
        """The values whose gradient is asked for: the product of each last block."""
        return tuple(dict.fromkeys(blocks[-1].product for blocks in self.blocks.values()))


@dataclasses.dataclass(frozen=True)
class Embeddings:
    """The floats that stand for inputs of ids: embedding lookups, and explained inputs that are floats themselves."""

    ends: tuple[ir.Value, ...]
    """The values whose relevance is asked for."""
    ids: tuple[ir.Value, ...]
    """The inputs of ids that the lookups lead to."""
    steps: tuple[Step, ...]
    """The steps from the lookups to the ids."""

    @property
    def lookups(self) -> tuple[ir.Value, ...]:
        """The embeddings among the ends."""
        return tuple(v for v in self.ends if not v.is_graph_input())

    @property
    def axes(self) -> tuple[ir.Value, ...]:
        """The inputs that get relevance."""
        return (*(v for v in self.ends if v.is_graph_input()), *self.ids)


InnerMap = ActivationMap | Rollout | Embeddings
"""Inner values that relevance ends at, and from which that of the inputs is computed."""


@dataclasses.dataclass
class Plan:
    """All steps from the explained score to the inputs, in the order in which relevance visits them.

    ```python
    plan = onnxlrp.inspect("model.onnx")
    print(plan)  # the table
    [row.rule for row in plan.rows() if row.operator == "Conv"]
    ```
    """

    steps: list[Step]
    """The steps; those inside of bodies are in `Step.inner`."""
    graph: nx.MultiDiGraph
    """Graph whose nodes are the names of steps and inputs. An edge goes from the step that hands relevance on to the
    step or input that receives it; `input` is the operand index of the first, `output` the output index of the
    second."""
    composite: Composite
    """The composite in use; for "auto" the one that it stands for in this model."""
    composite_why: str
    """The reason where the model decided on the composite, else empty."""
    unsupported: list[str]
    """The nodes that have no rule, each in words."""
    unsupported_nodes: list[str] = dataclasses.field(default_factory=list)
    """The names of the nodes that have no rule."""
    stopped: list[str] = dataclasses.field(default_factory=list)
    """The nodes at which relevance ends although an input lies further upstream, and why."""
    notes: list[str] = dataclasses.field(default_factory=list)
    """Sentences about what was decided or is unusual."""
    overrides: Overrides = ()
    """The overrides: patterns, each with its rule."""
    inner_map: InnerMap | None = None
    """The inner values that a map on the inputs is computed from; None where relevance goes to the inputs."""
    base: np.ndarray | None = None
    """The base value of each score of one sample, in the score's rank: relevance that starts at the score's value adds
    up to the score less this. None where the model has none, or where it depends on the sample."""
    why_not: list[str] = dataclasses.field(default_factory=list)
    """The rewrites and recognisers that did not apply to the node that `inspect` was asked about by `why_not=`, each in
    a sentence with the condition that failed."""

    def rows(self) -> list[PlanRow]:
        """The plan as a table; the steps inside a body follow the node that holds it."""
        return [PlanRow(s.name, s.operator, s.rule_text, s.why) for s in every_step(self.steps)]

    def without_slope(self) -> list[str]:
        """Steps through which no gradient passes, because they are constant nearly everywhere."""
        return [s.name for s in every_step(self.steps) if s.entry.piecewise_constant]

    def refuse_unsupported(self) -> None:
        """Raise UnsupportedOperatorError where nodes have no rule, naming them."""
        if not self.unsupported:
            return
        shown = self.unsupported[:12]
        more = len(self.unsupported) - len(shown)
        lines = "\n".join(f"  {escaped(name)}" for name in shown) + (f"\n  … and {more} more" if more else "")
        raise UnsupportedOperatorError(
            f"{len(self.unsupported)} node(s) between the explained output and the inputs have no rule:\n{lines}\n"
            "Register a handler with @onnxlrp.operator, explain another output, or convert with on_unsupported='stop'.",
            tuple(self.unsupported_nodes),
        )

    @property
    def has_base(self) -> bool:
        """True where some step's relevance adds up to the distance of its output from a base value."""
        return any(s.entry.base is not None for s in every_step(self.steps)) and self.composite.seed != "gradient"

    @property
    def title(self) -> str:
        """The composite as text, with the reason where the model decided on it."""
        return f"{self.composite} ({self.composite_why})" if self.composite_why else str(self.composite)

    def __repr__(self) -> str:
        refused = f", {len(self.unsupported)} unsupported" if self.unsupported else ""
        return f"<Plan {cut(self.composite)}: {counted(len(self.rows()), 'step')}{refused}>"

    def _repr_html_(self) -> str:
        rows = [(row.node, row.operator, row.rule, row.why) for row in self.rows()]
        ends = [f"relevance ends at {stop}" for stop in self.stopped]
        return notebook_table(f"Plan: {self.title}", ("node", "operator", "rule", "why"), rows, (*ends, *self.notes))

    def __str__(self) -> str:
        rows = [("node", "operator", "rule", "why")]
        rows += [(escaped(r.node), escaped(r.operator), escaped(r.rule), escaped(r.why)) for r in self.rows()]
        widths = [*(max(len(row[column]) for row in rows) for column in range(3)), 0]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        ends = [f"relevance ends at {stop}" for stop in self.stopped]
        return "\n".join([escaped(self.title), *lines, *map(escaped, (*ends, *self.notes))])


def every_step(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield all steps; those inside a body follow the node that holds it."""
    for step in steps:
        yield step
        yield from every_step(step.inner)


def link(steps: list[Step], score: ir.Value) -> nx.MultiDiGraph:
    """Build the graph of the steps, with edges from the score back to the inputs."""
    graph = nx.MultiDiGraph()
    producer = {v: (s.name, i) for s in steps for i, v in enumerate(s.outputs)}
    graph.add_node("score", value=score.name)
    for step in steps:
        graph.add_node(step.name, operator=step.operator, rule=step.rule_text, why=step.why)
    if score in producer:
        graph.add_edge("score", producer[score][0], output=producer[score][1], input=0)
    for step in steps:
        for index, value in step.operands.items():
            if value in producer:
                name, output = producer[value]
                graph.add_edge(step.name, name, output=output, input=index)
            elif value.is_graph_input():
                graph.add_edge(step.name, str(value.name), output=0, input=index)
    return graph
