"""Graph patterns, in onnxscript's matcher: what to find is written as the expression that computes it.

Constants are variables of the pattern that a check looks at: the matcher's own compare scalars only, and read all.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, cast

import onnx_ir as ir
from onnxscript.rewriter import pattern

from onnxlrp.analysis.facts import Facts
from onnxlrp.operators.registry import Call, content

Values = Mapping[str, ir.Value]
"""What a match found, by the names in the pattern."""


@dataclasses.dataclass(frozen=True)
class Recognised:
    """What several nodes are together: a name, and the one operator that computes the same from the same operands."""

    name: str
    call: Call


class Patterns:
    """Expressions for one thing, and what makes a match of one of them that thing.

    `expressions` gives, of a builder, one expression per way to end; `check` what was recognised, None where a constant
    or a shape says that it only looks like it.
    """

    def __init__(
        self, expressions: Callable[[Any], list[Any]], check: Callable[[ir.Node, Values, Facts], Recognised | None]
    ) -> None:
        self._check = check
        self._by_end: dict[str, list[pattern.Pattern]] = defaultdict(list)
        builder = pattern.OpsetPatternBuilder("", record=True)
        for index, end in enumerate(expressions(builder)):
            self._by_end[end.producer().op_type].append(_one(expressions, index))

    def match(self, node: ir.Node, facts: Facts) -> Recognised | None:
        """What ends in a node."""
        if node.domain != "" or not isinstance(node.graph, ir.Graph):
            return None
        for made in self._by_end.get(node.op_type, ()):
            # The matcher takes the model but does not look at it.
            found = made.match(cast(ir.Model, None), node.graph, node, check_nodes_are_removable=False)
            if found and (what := self._check(node, _bound(found.bindings), facts)) is not None:
                return what
        return None


def _one(expressions: Callable[[Any], list[Any]], index: int) -> pattern.Pattern:
    return pattern.Pattern(lambda op: expressions(op)[index])


def _bound(bindings: Mapping[str, Any]) -> dict[str, ir.Value]:
    return {name: value for name, value in bindings.items() if isinstance(value, ir.Value)}


# ---------------------------------------------------------------------------------------- expressions


def var(name: str) -> Any:
    """Any value; under one name always the same."""
    return pattern.Var(name)


def either(*alternatives: Any, name: str | None = None) -> Any:
    """The first of some expressions that matches."""
    return pattern.OrValue(list(alternatives), name=name)


def both_orders(make: Callable[[Any, Any], Any], a: Any, b: Any) -> list[Any]:
    """`a ∘ b` and `b ∘ a`."""
    return [make(a, b), make(b, a)]


# ---------------------------------------------------------------------------------------- checks


def number(value: ir.Value | None) -> float | None:
    """The content of a constant of one element."""
    if value is None or value.const_value is None or value.const_value.size != 1:
        return None
    known = content(value)
    return None if known is None else float(known.reshape(-1)[0])


def numbers(values: Values, **expected: float) -> bool:
    """Whether what is bound to these names, as far as it is, are these numbers."""
    return all(number(values[name]) == wanted for name, wanted in expected.items() if name in values)


def spreads(value: ir.Value, over: ir.Value) -> bool:
    """Whether a value broadcasts over another without making it larger."""
    if value.shape is None or over.shape is None or len(value.shape) > len(over.shape):
        return False
    pairs = zip(reversed(value.shape), reversed(over.shape), strict=False)
    return all(d == 1 or d == n for d, n in pairs)


def constant(names: Collection[str], values: Values, facts: Facts) -> bool:
    """Whether what is bound to these names depends on no input."""
    return all(values[name] in facts.constants for name in names if name in values)


def axes_of(reduction: ir.Node | None) -> tuple[int, ...] | None:
    """The axes of a reduction, counted from the end; all where it names none."""
    source = None if reduction is None else reduction.inputs[0]
    if reduction is None or source is None or source.shape is None:
        return None
    rank, operand = len(source.shape), reduction.inputs[1] if len(reduction.inputs) > 1 else None
    given: Iterable[int] = range(2 if reduction.op_type == "GlobalAveragePool" else 0, rank)
    if operand is not None:
        known = content(operand)
        if known is None:
            return None
        given = known.reshape(-1).tolist() or given
    return tuple(sorted(a - rank if a >= 0 else a for a in given))
