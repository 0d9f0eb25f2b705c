"""Graph patterns for onnxscript's matcher: a pattern is the expression that computes what is looked for.

A constant is a variable of the pattern, which a check examines after the match: the matcher's own constants compare
scalars only, and would read every tensor.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, cast

import onnx_ir as ir
from onnxscript.rewriter import pattern

from onnxlrp.analysis.facts import Facts
from onnxlrp.graph.call import Call, content
from onnxlrp.graph.misses import attempt, is_asked, miss

Values = Mapping[str, ir.Value]
"""Values that a match bound, by the names of the pattern's variables."""


@dataclasses.dataclass(frozen=True)
class Recognised:
    """Several nodes that compute one operator: its name for the plan, and a call of it on the same operands."""

    name: str
    call: Call


_SPELLED = 3
"""Least number of nodes that must have matched for a failed match to be explained, because two nodes match almost
anywhere."""


class Patterns:
    """Several expressions of one operator, and the check that a match of one of them must pass.

    `name` is the operator in words. `expressions` takes a pattern builder and returns one expression for each way in
    which the nodes may end. `check` returns the operator, or None where a constant or a shape shows that a match is
    something else.
    """

    def __init__(
        self,
        name: str,
        expressions: Callable[[Any], list[Any]],
        check: Callable[[ir.Node, Values, Facts], Recognised | None],
    ) -> None:
        self.name, self._check = name, check
        ends = expressions(pattern.OpsetPatternBuilder("", record=True))
        self._ends = [(end, _graph_pattern(expressions, index)) for index, end in enumerate(ends)]
        self._among = functools.lru_cache(maxsize=64)(self._possible)

    def match(self, node: ir.Node, facts: Facts) -> Recognised | None:
        """Return the operator that ends in a node; None where no expression matches."""
        return attempt(f"is not read as {self.name} that is written out", node, self._match, node, facts)

    def _match(self, node: ir.Node, facts: Facts) -> Recognised | None:
        if node.domain != "" or not isinstance(node.graph, ir.Graph):
            return None
        # A matcher holds the state of its match, so each match has its own: conversions may run in threads.
        make = _Matcher if is_asked(node) else pattern.SimplePatternMatcher
        matchers = [make(one) for one in self._among(facts.operators_of(node.graph)).get(node.op_type, ())]
        is_spelled = False
        for matcher in matchers:
            # The matcher requires a model but never reads it.
            result = matcher.match(cast(ir.Model, None), node.graph, node, remove_nodes=False)
            if result and (recognised := self._check(node, _bound(result.bindings), facts)) is not None:
                return recognised
            is_spelled = is_spelled or bool(result)
        ends = [m.farthest for m in matchers if isinstance(m, _Matcher) and m.farthest[0] >= _SPELLED]
        return miss(max(ends)[1]) if ends and not is_spelled else None

    def _possible(self, operators: frozenset[str]) -> dict[str, list[Any]]:
        """Select the expressions that need only these operators, by the operator that ends them."""
        known: dict[int, bool] = {}
        by_end: dict[str, list[Any]] = defaultdict(list)
        for end, graph_pattern in self._ends:
            if _written_with(end, operators, known):
                by_end[end.producer().op_type].append(graph_pattern)
        return by_end


class _Matcher(pattern.SimplePatternMatcher):
    """A matcher that remembers where the longest of its attempts ended, for the reason why nothing matched."""

    farthest = 0, ""
    """The number of nodes that fitted, and a sentence about the next one."""

    def fail(self, reason: str, node: ir.Node | None = None) -> bool:
        count, at = self._match.num_matched_nodes(), node or self._current_node
        if count > self.farthest[0] and at is not None:
            self.farthest = count, f"{count} nodes fit, and then {at.op_type} {at.name!r} does not"
        return super().fail(reason, node)


def _graph_pattern(expressions: Callable[[Any], list[Any]], index: int) -> Any:
    return pattern.Pattern(lambda op: expressions(op)[index])._target_pattern


def _written_with(value: Any, operators: Collection[str], known: dict[int, bool]) -> bool:
    """Decide whether an expression needs only these operators; `known` caches the answers for its parts."""
    if id(value) not in known:
        node = None if value is None else value.producer()
        if alternatives := getattr(value, "alternatives", ()):
            known[id(value)] = any(_written_with(v, operators, known) for v in alternatives)
        else:
            known[id(value)] = node is None or (
                node.op_type in operators and all(_written_with(v, operators, known) for v in node.inputs)
            )
    return known[id(value)]


def _bound(bindings: Mapping[str, Any]) -> dict[str, ir.Value]:
    return {name: value for name, value in bindings.items() if isinstance(value, ir.Value)}


# ---------------------------------------------------------------------------------------- expressions


def var(name: str) -> Any:
    """Build a variable that matches any value, and the same value wherever its name recurs."""
    return pattern.Var(name)


def either(*alternatives: Any, name: str | None = None) -> Any:
    """Build an alternative, which matches the first of several expressions that fits."""
    value: Any = pattern.OrValue(list(alternatives), name=name)
    value.alternatives = alternatives
    return value


def both_orders(make: Callable[[Any, Any], Any], a: Any, b: Any) -> list[Any]:
    """Build an operation with its operands in both orders, `a ∘ b` and `b ∘ a`."""
    return [make(a, b), make(b, a)]


# ---------------------------------------------------------------------------------------- checks


def number(value: ir.Value | None) -> float | None:
    """Return the content of a constant of one element; None for other values."""
    if value is None or value.const_value is None or value.const_value.size != 1:
        return None
    known = content(value)
    return None if known is None else float(known.reshape(-1)[0])


def holds_numbers(values: Values, **expected: float) -> bool:
    """Decide whether each of these names that is bound holds the expected number."""
    return all(number(values[name]) == wanted for name, wanted in expected.items() if name in values)


def broadcasts_to(value: ir.Value, over: ir.Value) -> bool:
    """Decide whether a value broadcasts to the shape of another."""
    if value.shape is None or over.shape is None or len(value.shape) > len(over.shape):
        return False
    pairs = zip(reversed(value.shape), reversed(over.shape), strict=False)
    return all(d == 1 or d == n for d, n in pairs)


def constant(names: Collection[str], values: Values, facts: Facts) -> bool:
    """Decide whether each of these names that is bound depends on no input of the model."""
    return all(values[name] in facts.constants for name in names if name in values)


def axes_of(reduction: ir.Node | None) -> tuple[int, ...] | None:
    """Return the axes of a reduction, counted from the end, or all where it names none; None if they are unknown."""
    source = None if reduction is None else reduction.inputs[0]
    if reduction is None or source is None or source.shape is None:
        return None
    rank, operand = len(source.shape), reduction.inputs[1] if len(reduction.inputs) > 1 else None
    axes: Iterable[int] = range(2 if reduction.op_type == "GlobalAveragePool" else 0, rank)
    if operand is not None:
        known = content(operand)
        if known is None:
            return None
        axes = known.reshape(-1).tolist() or axes
    return tuple(sorted(a - rank if a >= 0 else a for a in axes))
