"""The plan: the reversed relevance graph. Each step is a node (or a few that are one), its rule, and why."""

from __future__ import annotations

import dataclasses
import enum
import fnmatch
from collections.abc import Collection, Iterator, Sequence

import networkx as nx
import onnx_ir as ir

from onnxlrp.analysis.activations import activation_of
from onnxlrp.analysis.cells import in_cell
from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.labels import label_of
from onnxlrp.analysis.layers import Layer
from onnxlrp.analysis.norms import norm_of
from onnxlrp.analysis.patterns import Recognised
from onnxlrp.analysis.reach import carried, is_lookup
from onnxlrp.analysis.regions import inside_activation, region_entry
from onnxlrp.analysis.routers import divides, router_of
from onnxlrp.composites import Composite, Role
from onnxlrp.errors import InputError
from onnxlrp.operators.control_flow import bodies
from onnxlrp.operators.registry import Call, Kind, Operator, find
from onnxlrp.rules import LRP0, Epsilon, Flat, Norm, Pass, Rule

Overrides = Sequence[tuple[object, Rule]]


class Treatment(enum.Enum):
    """What a step does with the relevance that arrives."""

    LAYER = "layer"
    SUM = "sum"
    """Linear in its data operands at once: in proportion to the contributions."""
    SCALE = "scale"
    """One operand times a constant: relevance passes."""
    ROUTING = "routing"
    PASS = "pass"
    RECTIFIER = "rectifier"
    PRODUCT = "product"
    CUSTOM = "custom"
    LOOKUP = "lookup"
    CONTROL = "control"
    """Walks the graphs inside the node."""


@dataclasses.dataclass
class Step:
    """One node of the plan."""

    name: str
    operator: str
    node: ir.Node
    call: Call
    entry: Operator
    treatment: Treatment
    operands: dict[int, ir.Value]
    """Operand index -> the data that relevance goes to."""
    outputs: tuple[ir.Value, ...]
    rule: Rule | None = None
    why: str = ""
    layer: Layer | None = None
    shares: dict[int, float] = dataclasses.field(default_factory=dict)
    """Of a product: operand index -> its share."""

    inner: tuple[Step, ...] = ()
    """The steps inside the node's bodies."""

    @property
    def rule_text(self) -> str:
        return str(self.rule) if self.rule is not None else self.treatment.value


@dataclasses.dataclass(frozen=True)
class PlanRow:
    """A line of the plan's table."""

    node: str
    operator: str
    rule: str
    why: str


@dataclasses.dataclass
class Plan:
    """All steps from the explained score to the inputs, in the order in which relevance visits them."""

    steps: list[Step]
    graph: nx.MultiDiGraph
    """Nodes are step names (and inputs); an edge from a step to the step it hands relevance to carries `output` (the
    index of the receiving step's output) and `input` (the operand index of the handing step)."""
    composite: Composite
    composite_why: str
    unsupported: list[str]
    unsupported_nodes: list[str] = dataclasses.field(default_factory=list)
    stopped: list[str] = dataclasses.field(default_factory=list)
    """Where relevance ends before an input, and why."""
    notes: list[str] = dataclasses.field(default_factory=list)
    overrides: Overrides = ()

    def rows(self) -> list[PlanRow]:
        """The plan as a table; the steps inside a body follow the node that holds it."""
        return [PlanRow(s.name, s.operator, s.rule_text, s.why) for s in _flat(self.steps)]

    def __str__(self) -> str:
        rows = [PlanRow("node", "operator", "rule", "why"), *self.rows()]
        widths = [max(len(getattr(r, f)) for r in rows) for f in ("node", "operator", "rule")]
        lines = [
            "  ".join((r.node.ljust(widths[0]), r.operator.ljust(widths[1]), r.rule.ljust(widths[2]), r.why)).rstrip()
            for r in rows
        ]
        title = f"{self.composite} ({self.composite_why})" if self.composite_why else str(self.composite)
        ends = [f"relevance ends at {stop}" for stop in self.stopped]
        return "\n".join([title, *lines, *ends, *self.notes])


def _flat(steps: Sequence[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        yield from _flat(step.inner)


def make_plan(
    graph: ir.Graph,
    facts: Facts,
    score: ir.Value,
    composite: Composite,
    overrides: Overrides = (),
    *,
    on_unsupported: str = "error",
) -> Plan:
    """Decide every step between the score and the explained inputs.

    Nodes without a rule are collected in `Plan.unsupported`, all of them; nothing is raised for them here.
    """
    composite, why = _resolve(composite, facts)
    planner = _Planner(graph, facts, composite, overrides, stop=on_unsupported == "stop")
    plan = planner.plan(score)
    plan.composite_why = why
    return plan


def plan_copy(
    graph: ir.Graph, facts: Facts, composite: Composite, overrides: Overrides, scores: Collection[ir.Value]
) -> list[Step]:
    """The steps inside a copy of a body, planned as they were in the body itself."""
    return _Planner(graph, facts, composite, overrides, stop=True).steps(graph, scores)


def _resolve(composite: Composite, facts: Facts) -> tuple[Composite, str]:
    for_model = getattr(composite, "for_model", None)
    if for_model is None:
        return composite, ""
    convolutions = sum(layer.kind == "convolution" for layer in facts.layers.values())
    return for_model(attention=facts.attention, convolutions=convolutions)


def ignores_value(rule: Rule | None) -> bool:
    """Whether a rule may give relevance to an input that is 0: flat, w², z-box."""
    if rule is None or isinstance(rule, Pass):
        return False
    return any(isinstance(term.x, str) or term.x.one for share in rule.shares() for term in share.terms)


class _Planner:
    def __init__(
        self,
        graph: ir.Graph,
        facts: Facts,
        composite: Composite,
        overrides: Overrides,
        stop: bool,
    ) -> None:
        self.graph, self.facts, self.composite, self.stop = graph, facts, composite, stop
        self.overrides = list(overrides)
        self.applied: set[int] = set()
        self.unsupported: list[str] = []
        self.unsupported_nodes: list[str] = []
        self.stopped: list[str] = []
        self.behind: set[ir.Value] = set()
        self.gradient = composite.seed == "gradient"
        convolutions = sorted(
            (n for n, layer in facts.layers.items() if layer.kind == "convolution"), key=facts.order.__getitem__
        )
        self.position = {n: i for i, n in enumerate(convolutions)}
        self.by_add = {layer.add: layer for layer in facts.layers.values() if layer.add is not None}

    def plan(self, score: ir.Value) -> Plan:
        steps = self.steps(self.graph, [score])
        self._check_overrides()
        if not self.gradient:
            self._input_side(steps)
        return Plan(
            steps,
            _link(steps, score),
            self.composite,
            "",
            self.unsupported,
            self.unsupported_nodes,
            self.stopped,
            overrides=tuple(self.overrides),
        )

    def steps(self, graph: ir.Graph, scores: Collection[ir.Value]) -> list[Step]:
        """The steps between some values of a graph and its inputs (and what it takes from around it)."""
        found: list[Step] = []
        needed = set(scores)
        for node in reversed(graph):
            if not any(v in needed for v in node.outputs):
                continue
            step = self.step(node, [v in needed for v in node.outputs])
            needed |= self.behind
            if step is None:
                continue
            found.append(step)
            needed.update(v for v in step.operands.values() if v in self.facts.alive)
        return found

    def _inner(self, step: Step, wanted: Sequence[bool]) -> None:
        """Plan the bodies of a node."""
        step.treatment, step.why = Treatment.CONTROL, "the same steps, backwards"
        data, inner = self.facts.data, []
        for body in bodies(step.node):
            ends = {v for v, i in body.stacked if i < len(wanted) and wanted[i]}
            ends |= {out for value, out, _, _ in body.states if out in data or value in data}
            inner += self.steps(body.graph, ends & data)
        step.inner = tuple(inner)

    def step(self, node: ir.Node, wanted: list[bool]) -> Step | None:
        """The step of a node that relevance arrives at; None where it ends."""
        layer = None if self.gradient else self.facts.layers.get(node) or self.by_add.get(node)
        if layer is not None:
            own = next(n for n, v in self.facts.layers.items() if v is layer)
            return self._layer(own, layer)
        if not self.gradient and (norm := norm_of(node, self.facts)) is not None:
            return self._norm(node, norm)
        operands = carried(node, self.facts.data)
        entry = find(node)
        if entry is not None and not self.gradient and operands:
            operands = {i: v for i, v in operands.items() if i not in entry.gradient_only}
            if not operands:
                self.stopped.append(f"{node.op_type} {node.name!r}: the input says where or how much, not what")
                return None
        if entry is None or (reason := self._refused(node, entry, wanted)) is not None:
            self._unsupported(node, "has no rule" if entry is None else str(reason))
            # What lies behind it is planned all the same, so that every node without a rule is named at once.
            self.behind.update(v for v in Call.of(node).inputs if v in self.facts.alive and not self.stop)
            return None
        if entry.kind is Kind.STOP or not any(v in self.facts.alive for v in operands.values()):
            if node.outputs[0] in self.facts.data or entry.kind is Kind.STOP:
                self.stopped.append(f"{node.op_type} {node.name!r}: {entry.treatment}")
            return None
        call = Call.of(node)
        step = Step(
            name=str(node.name),
            operator=node.op_type,
            node=node,
            call=call,
            entry=entry,
            treatment=Treatment.PASS,
            operands=operands,
            outputs=tuple(node.outputs),
        )
        if entry.nested:
            self._inner(step, wanted)
        else:
            self._treat(step)
        return step

    def _refused(self, node: ir.Node, entry: Operator, wanted: list[bool]) -> str | None:
        if (reason := entry.refuse(Call.of(node))) is not None:
            return reason
        if not entry.many and entry.kind is not Kind.STOP and any(wanted[1:]):
            return f"relevance arrives at its output {wanted.index(True, 1)}, which has no rule"
        return None

    def _unsupported(self, node: ir.Node, reason: str) -> None:
        version = self.graph.opset_imports.get(node.domain, node.version)
        name = f"{node.domain or 'ai.onnx'}::{node.op_type} (opset {version}), node {node.name!r}: {reason}"
        if self.stop:
            self.stopped.append(f"{name} (on_unsupported='stop')")
        else:
            self.unsupported.append(name)
            self.unsupported_nodes.append(str(node.name))

    def _layer(self, node: ir.Node, layer: Layer) -> Step:
        role = Role(
            kind=layer.kind,
            first=layer.x not in self.facts.behind_layer,
            stem=layer.stem,
            index=self.position.get(node, 0),
            convolutions=len(self.position),
            attention=self.facts.attention,
        )
        rule, why = self.composite.layer(role)
        call = Call.of(node)
        kind = "+Add" if layer.add is not None else ""
        step = Step(
            name=str(node.name),
            operator=node.op_type + kind,
            node=node,
            call=call,
            entry=layer.entry,
            treatment=Treatment.LAYER,
            operands={layer.data: layer.x},
            outputs=(layer.z,),
            rule=rule,
            why="dense layer" if why == "dense" else why,
            layer=layer,
        )
        self._override(step)
        return step

    def _norm(self, node: ir.Node, norm: Recognised) -> Step | None:
        """A norm that is written out: the step of the operator it is."""
        x, entry = norm.call.operand(0), find(norm.call)
        assert entry is not None
        if x not in self.facts.alive:
            self.stopped.append(f"{node.op_type} {node.name!r}: {entry.treatment}")
            return None
        return Step(
            name=str(node.name),
            operator=norm.call.op_type,
            node=node,
            call=norm.call,
            entry=entry,
            treatment=Treatment.CUSTOM,
            operands={0: x},
            outputs=norm.call.outputs,
            why=f"{norm.name}, written out. {entry.treatment}",
        )

    def _treat(self, step: Step) -> None:
        """Decide what a step without layer parameters does."""
        entry, call, facts = step.entry, step.call, self.facts
        if self.gradient:
            step.treatment, step.why = _gradient_treatment(entry), "derivative"
            return
        entrance = region_entry(step.node, facts)
        if entrance is not None:
            name = activation_of(step.node, entrance, facts)
            step.operands, step.why = {0: entrance}, f"{name or 'an activation'}, written out: passes unchanged"
        elif entry.kind is Kind.PASS:
            step.treatment = Treatment.RECTIFIER if entry.rectifier else Treatment.PASS
            # Data to the power of data: the base takes all.
            first = min(step.operands)
            step.operands, step.why = {first: step.operands[first]}, "activation"
        elif is_lookup(step.node, step.operands):
            step.treatment, step.why = Treatment.LOOKUP, "embedding lookup"
        elif entry.kind is Kind.CUSTOM:
            step.treatment, step.why = Treatment.CUSTOM, entry.treatment
        elif entry.kind is Kind.ROUTING or entry.routes(call):
            self._routing(step)
        elif entry.jointly:
            self._sum(step)
        else:
            self._product(step)
        if (label := label_of(step.node, facts)) is not None:
            step.why = f"{step.why} ({label})"
        if step.treatment in (Treatment.SUM, Treatment.SCALE, Treatment.PASS):
            self._override(step)

    def _routing(self, step: Step) -> None:
        step.treatment = Treatment.ROUTING
        step.why = "the winner takes all" if step.entry.winner else "follows the values"
        if step.entry.average is None:
            return
        before = sum(self.facts.order[n] < self.facts.order[step.node] for n in self.position)
        rule = self.composite.pooling(before, len(self.position))
        if rule is not None:
            step.treatment, step.rule, step.why = Treatment.SUM, rule, "max pooling as average pooling"
            step.call = step.entry.average(step.call)
            step.entry = find(step.call) or step.entry

    def _sum(self, step: Step) -> None:
        step.treatment = Treatment.SUM
        if step.entry.scale:
            rule, step.why = self.composite.batch_norm, "batch norm that no layer took in"
            passes = isinstance(rule, Pass)
            step.treatment, step.rule = (Treatment.PASS, None) if passes else (Treatment.SUM, rule)
            return
        step.rule = self.composite.norm
        constants = len([v for v in step.call.inputs if v is not None]) > len(step.operands)
        if step.entry.elementwise and constants:
            step.why = "a constant is added: it absorbs its share"
            if inside_activation(step.node, self.facts):
                step.treatment, step.rule, step.why = Treatment.PASS, None, "inside an activation"
        else:
            step.why = "in proportion to the contributions"

    def _product(self, step: Step) -> None:
        """A product of data and constants passes; of two data operands the composite decides."""
        operands = step.operands
        linear = step.entry.linear_in or tuple(operands)
        if len(operands) == 1:
            inside = next(iter(operands)) in linear
            step.treatment = Treatment.SCALE if inside and step.entry.scale else Treatment.PASS
            step.why = "times a constant" if inside else "a constant divided by data"
            if inside and not step.entry.scale:
                step.treatment, step.rule, step.why = Treatment.SUM, self.composite.norm, "linear"
            return
        step.treatment = Treatment.PRODUCT
        step.rule = self.composite.norm
        if not set(operands) <= set(linear):
            step.shares, step.why = {linear[0]: 1.0}, "the numerator takes all"
            return
        # A bias is added to the product: it takes what it contributes.
        bias = {} if step.entry.layer is None else {i: 1.0 for i in operands if i == step.entry.layer.bias}
        factors = {i: v for i, v in operands.items() if i not in bias}
        step.shares, step.why = dict.fromkeys(factors, 1 / len(factors)) | bias, "product of data: half each"
        if len(factors) == 1:
            step.why = "in proportion to the contributions"
            return
        whole = [i for i, v in factors.items() if not divides(v, self.facts)]
        if step.entry.elementwise and len(whole) == 1:
            step.shares, step.why = {whole[0]: 1.0} | bias, "the numerator takes all"
            return
        cell = in_cell(step.node, self.facts)
        if self.composite.product == "uniform" and not cell:
            return
        for kind, name in (("gate", "gate"), ("soft", "rectified operand")):
            gates = [i for i, v in factors.items() if router_of(v, self.facts) == kind]
            if len(gates) == 1:
                step.shares = {i: 1.0 for i in operands if i not in gates}
                step.why = f"the signal takes all, the {name} none{': a recurrent cell' if cell else ''}"
                return
            if len(gates) > 1:
                return

    def _override(self, step: Step) -> None:
        """The first override that matches and can be applied."""
        for index, (pattern, rule) in enumerate(self.overrides):
            if not _matches(pattern, step):
                continue
            by_type = isinstance(pattern, str) and pattern == step.node.op_type
            if not _applies(rule, step, by_type):
                continue
            self.applied.add(index)
            step.rule, step.why = rule, f"override {pattern if isinstance(pattern, str) else 'by predicate'}"
            if step.treatment is not Treatment.LAYER:
                step.treatment = Treatment.PASS if isinstance(rule, Pass) else Treatment.SUM
            return

    def _check_overrides(self) -> None:
        idle = [p for i, (p, _) in enumerate(self.overrides) if i not in self.applied]
        if idle and not self.gradient:
            names = ", ".join(repr(p) for p in idle)
            raise InputError(f"no step on the path takes the override for {names}; `onnxlrp inspect` lists the steps")
        if self.overrides and self.gradient:
            raise InputError(f"{self.composite} is a gradient: rules cannot be overridden in it")

    def _input_side(self, steps: list[Step]) -> None:
        """Between an input and a first layer affine steps pass; before a rule that gives relevance to zeros, pools and
        sums are flat, so that no value near 0 is divided by."""
        flat = {
            v
            for s in steps
            if s.layer is not None and ignores_value(s.rule) and s.layer.x not in self.facts.behind_layer
            for v in [s.layer.x]
        }
        reached = set(flat)
        for step in steps:
            if any(v in reached for v in step.outputs):
                reached.update(step.operands.values())
        for step in steps:
            side = step.outputs[0] in self.facts.before_layer
            if not side or step.treatment not in (Treatment.SUM, Treatment.SCALE) or step.why.startswith("override"):
                continue
            if len(step.operands) == 1 and (step.entry.elementwise or step.entry.scale):
                step.treatment, step.rule, step.why = Treatment.PASS, None, "affine, before the first layer"
            elif step.outputs[0] in reached:
                step.rule, step.why = Flat(), "before a first layer whose rule ignores the values"


def _gradient_treatment(entry: Operator) -> Treatment:
    if entry.kind is Kind.CUSTOM:
        return Treatment.CUSTOM
    if entry.kind is Kind.PASS:
        return Treatment.RECTIFIER if entry.rectifier else Treatment.PASS
    return Treatment.ROUTING


def _matches(pattern: object, step: Step) -> bool:
    if callable(pattern):
        return bool(pattern(step))
    if not isinstance(pattern, str):
        raise InputError(f"an override's pattern is a node name, an operator or a predicate, not {pattern!r}")
    return pattern == step.node.op_type or fnmatch.fnmatchcase(step.name, pattern)


def _applies(rule: Rule, step: Step, by_type: bool) -> bool:
    """Layers take every rule but Pass and Norm; sums and scales take Norm and Pass, and, where the override names their
    operator, ε and flat as well."""
    if step.treatment is Treatment.LAYER:
        return not isinstance(rule, (Pass, Norm))
    if isinstance(rule, Pass):
        return step.entry.elementwise or step.entry.scale
    if step.treatment is not Treatment.SUM:
        return False
    return isinstance(rule, Norm) or (by_type and isinstance(rule, (Epsilon, LRP0, Flat)))


def _link(steps: list[Step], score: ir.Value) -> nx.MultiDiGraph:
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
