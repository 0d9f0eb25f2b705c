"""Decide every step between the explained score and the inputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.layers import Layer
from onnxlrp.analysis.norms import norm_of
from onnxlrp.analysis.patterns import Recognised
from onnxlrp.composites import Composite, Role
from onnxlrp.graph.call import Call
from onnxlrp.operators.control_flow import bodies
from onnxlrp.operators.registry import Kind, Operator, find
from onnxlrp.plan.asked_points import points_note
from onnxlrp.plan.base_value import decide_base
from onnxlrp.plan.input_side import check_bounds, input_side
from onnxlrp.plan.kernel_steps import compared, kernel
from onnxlrp.plan.last_layers import near_values
from onnxlrp.plan.multipliers import changing_values, no_multiplier
from onnxlrp.plan.narrow import decide_columns
from onnxlrp.plan.overrides import Overriding
from onnxlrp.plan.score_map import is_place_of_map
from onnxlrp.plan.shifted_layers import layer_reference
from onnxlrp.plan.signed import signed_note
from onnxlrp.plan.step_kinds import StepDecider, check_rule
from onnxlrp.plan.steps import Overrides, Plan, Step, StepKind, link
from onnxlrp.plan.tree_steps import baseline_note, decide_game

_OVERRIDDEN = frozenset({StepKind.SUM, StepKind.SCALE, StepKind.PASS_THROUGH, StepKind.OFFSET, StepKind.SLOPE})
"""Kinds of step without layer parameters whose rule a caller may replace."""


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

    Nodes without a rule are collected in `Plan.unsupported`, all of them; nothing is raised for them here. Requires the
    laws of `source.spec.CANONICAL`, ensures those of `plan.plan_spec`.
    """
    composite, why = _resolve(composite, facts)
    facts.near = near_values(graph, facts, [score])
    stop, on_map = on_unsupported == "stop", is_place_of_map(score)
    planner = _Planner(graph, facts, composite, overrides, stop=stop, on_map=on_map)
    plan = planner.plan(score)
    plan.composite_why = why
    return plan


def plan_steps(graph: ir.Graph, facts: Facts, values: Sequence[ir.Value], composite: Composite) -> list[Step]:
    """Decide the steps from some values to the explained inputs."""
    facts.near = near_values(graph, facts, values)
    return _Planner(graph, facts, composite, (), stop=True, on_map=False).steps(graph, values)


def _resolve(composite: Composite, facts: Facts) -> tuple[Composite, str]:
    for_model = getattr(composite, "for_model", None)
    if for_model is None:
        return composite, ""
    layers = facts.layers.values()
    convolutions = sum(layer.kind == "convolution" for layer in layers)
    over_pictures = [layer for layer in layers if layer.spatial > 1]
    patches = any(facts.is_first(layer) and not layer.overlaps for layer in over_pictures)
    pictures = bool(over_pictures)
    return for_model(attention=facts.attention, convolutions=convolutions, pictures=pictures, patches=patches)


class _Planner:
    def __init__(
        self,
        graph: ir.Graph,
        facts: Facts,
        composite: Composite,
        overrides: Overrides,
        stop: bool,
        on_map: bool,
    ) -> None:
        self.graph, self.facts, self.composite, self.stop, self.on_map = graph, facts, composite, stop, on_map
        self.overriding = Overriding(overrides)
        self.unsupported: list[str] = []
        self.unsupported_nodes: list[str] = []
        self.stopped: list[str] = []
        self.upstream: set[ir.Value] = set()
        self.gradient = composite.seed == "gradient"
        self.changing = set() if composite.reference is None else changing_values(graph, facts.explained)
        convolutions = sorted(
            (n for n, layer in facts.layers.items() if layer.kind == "convolution"), key=facts.order.__getitem__
        )
        self.position = {n: i for i, n in enumerate(convolutions)}
        self.treating = StepDecider(facts, composite, convolutions)
        self.by_add = {layer.add: node for node, layer in facts.layers.items() if layer.add is not None}

    def plan(self, score: ir.Value) -> Plan:
        steps = self.steps(self.graph, [score])
        self.overriding.check(str(self.composite) if self.gradient else None)
        notes = []
        if not self.gradient:
            input_side(steps, self.facts)
            signed = signed_note(steps, self.facts, score, positive_seed=self.composite.seed == "positive")
            said = (signed, baseline_note(steps, self.facts.background))
            notes += [note for note in said if note is not None]
        if (points := points_note(self.composite)) is not None:
            notes.append(points)
        plan = Plan(
            steps,
            link(steps, score),
            self.composite,
            "",
            self.unsupported,
            self.unsupported_nodes,
            self.stopped,
            notes,
            overrides=tuple(self.overriding.overrides),
        )
        if not self.unsupported:
            decide_base(plan, self.facts, score)
        if self.gradient and self.composite.reference is None and (names := plan.without_slope()):
            more = f" and at {len(names) - 1} more" if len(names) > 1 else ""
            plan.notes.append(
                f"gradients are 0 at {names[0]!r}{more}, constant between steps: a composite of LRP goes through"
            )
        return plan

    def steps(self, graph: ir.Graph, scores: Collection[ir.Value]) -> list[Step]:
        """Plan the steps from `scores`, values of a graph, to its inputs and to the values that it captures."""
        found: list[Step] = []
        needed = set(scores)
        for node in reversed(graph):
            if not any(v in needed for v in node.outputs):
                continue
            step = self.step(node, [v in needed for v in node.outputs])
            needed |= self.upstream
            if step is None:
                continue
            found.append(step)
            leading, ends = self.facts.leads_to_input, self.facts.explained
            needed.update(v for v in step.operands.values() if v in leading and v not in ends)
        decide_columns(found, scores)
        return found

    def _inner(self, step: Step, wanted: Sequence[bool]) -> None:
        """Plan the bodies of a node."""
        step.kind, step.why = StepKind.CONTROL, "the same steps, backwards"
        data, inner = self.facts.data, []
        for body in bodies(step.node):
            ends = {v for v, i in body.stacked if i < len(wanted) and wanted[i]}
            ends |= {out for value, out, _, _ in body.states if out in data or value in data}
            inner += self.steps(body.graph, ends & data)
        step.inner = tuple(inner)

    def step(self, node: ir.Node, wanted: list[bool]) -> Step | None:
        """Plan the step of a node that relevance arrives at; None where relevance ends at the node."""
        reached = [v for v, is_wanted in zip(node.outputs, wanted, strict=True) if is_wanted]
        if all(v.shape is not None and 0 in v.shape for v in reached):
            self.stopped.append(f"{node.op_type} {node.name!r}: its output has no elements")
            return None
        own = self.by_add.get(node, node)
        if not self.gradient and own in self.facts.layers:
            return self._layer(own, self.facts.layers[own])
        if not self.gradient and (norm := norm_of(node, self.facts)) is not None:
            return self._norm(node, norm)
        if not self.gradient and node in self.facts.kernels:
            return kernel(self.facts.kernels[node], self.facts)
        operands = dict(self.facts.relevance_operands(node))
        entry, call = find(node), Call.of(node)
        if entry is not None and not self.gradient and operands:
            operands = {i: v for i, v in operands.items() if i not in entry.gradient_only}
            if not operands:
                self.stopped.append(f"{node.op_type} {node.name!r}: the input says where or how much, not what")
                return None
        if entry is None or (reason := self._refused(call, entry, operands, wanted)) is not None:
            self._unsupported(node, "has no rule" if entry is None else str(reason))
            # All that lies upstream is planned all the same, so that every node without a rule is named at once.
            self.upstream.update(v for v in Call.of(node).inputs if v in self.facts.leads_to_input and not self.stop)
            return None
        if entry.kind is Kind.STOP or not any(v in self.facts.leads_to_input for v in operands.values()):
            if node.outputs[0] in self.facts.data or entry.kind is Kind.STOP:
                self.stopped.append(f"{node.op_type} {node.name!r}: {entry.summary}")
            return None
        step = Step(
            name=str(node.name),
            operator=node.op_type,
            node=node,
            call=call,
            entry=entry,
            kind=StepKind.PASS_THROUGH,
            operands=operands,
            outputs=tuple(node.outputs),
        )
        if bodies(node):
            self._inner(step, wanted)
        else:
            self.treating.treat(step)
            if not self.gradient:
                compared(step, self.facts)
                decide_game(step, self.facts, self.composite.trees)
            if step.kind in _OVERRIDDEN and not self.gradient:
                self.overriding.apply(step)
            check_rule(step)
        return step

    def _refused(self, call: Call, entry: Operator, operands: Mapping[int, ir.Value], wanted: list[bool]) -> str | None:
        if (reason := entry.refuse(call)) is not None:
            return reason
        if self.changing and (reason := no_multiplier(entry, call, operands, self.changing, wanted)) is not None:
            return reason
        if not self.gradient and any(wanted[i] for i in entry.gradient_outputs if i < len(wanted)):
            return "its integers are converted to floats in a way that is not recognised"
        if not entry.per_output and entry.kind is not Kind.STOP and any(wanted[1:]):
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
            first=self.facts.is_first(layer),
            last=layer.z in self.facts.near,
            spatial=layer.spatial,
            channels=layer.channels,
            overlaps=layer.overlaps,
            index=self.position.get(node, 0),
            convolutions=len(self.position),
            attention=self.facts.attention,
            on_map=self.on_map,
        )
        rule, why = self.composite.layer_rule(role)
        call = Call.of(node)
        kind = "+Add" if layer.add is not None else ""
        step = Step(
            name=str(node.name),
            operator=node.op_type + kind,
            node=node,
            call=call,
            entry=layer.entry,
            kind=StepKind.LAYER,
            operands={layer.data: layer.x},
            outputs=(layer.z,),
            rule=rule,
            why="dense layer" if why == "dense" else why,
            layer=layer,
            role=role,
        )
        self.overriding.apply(step)
        check_bounds(step, self.facts)
        assert step.rule is not None
        step.reference = layer_reference(layer, step.rule, self.facts)
        if step.reference is not None:
            step.why += "; its change from the mean of the background"
        return step

    def _norm(self, node: ir.Node, norm: Recognised) -> Step | None:
        """Plan a norm that is written out as one step of the operator that it computes; None where it leads to no
        explained input."""
        x, entry = norm.call.operand(0), find(norm.call)
        assert entry is not None
        if x not in self.facts.leads_to_input:
            self.stopped.append(f"{node.op_type} {node.name!r}: {entry.summary}")
            return None
        return Step(
            name=str(node.name),
            operator=norm.call.op_type,
            node=node,
            call=norm.call,
            entry=entry,
            kind=StepKind.CUSTOM,
            operands={0: x},
            outputs=norm.call.outputs,
            why=f"{norm.name}, written out. {entry.summary}",
        )
