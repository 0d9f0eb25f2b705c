"""Decide which value is explained in place of an output, and with which sign.

An output is often a monotone function of a score: a probability of a logit, a rate of its logarithm, `1 − p` of p. The
output's own value says nothing about the direction in which an input moves it: a probability is positive on both sides
of one half. So the walk upstream from the output skips monotone functions. The argument of the innermost one that is
not 0 at 0 is explained, with a minus if the output falls when the argument rises. Functions that cannot be shown to be
monotone are left to the rules of the backward pass.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.builder import Builder
from onnxlrp.graph.call import Call
from onnxlrp.graph.walks import follow, made_by, mark_downstream
from onnxlrp.operators.control_flow import bodies
from onnxlrp.operators.registry import Kind, Operator, find
from onnxlrp.source.evaluate import evaluate_at
from onnxlrp.source.explained_parts import Part, elements_of, put_together
from onnxlrp.source.monotone import MonotoneStep, step
from onnxlrp.source.one_logit import one_logit

_ANY = np.full((), np.inf)
_UP = np.ones(())
_FAR = 16
"""Number of steps upstream in which two factors' common argument is looked for; they meet after a few nodes."""
_QUANTISED = frozenset({"INT4", "UINT4", "INT8", "UINT8", "INT16", "UINT16"})
"""Types of quantised numbers."""
_AROUND_A_SUM = frozenset({"Add", "Max", "Clip", "Unsqueeze", "Expand", "Reshape", "Cast"})
"""Operators between a sum and the division by it: they keep the sum away from 0 or give it the shape of the numerator.
"""


@dataclasses.dataclass(frozen=True)
class ExplainedScore:
    """The value that is explained, in the output's layout, and the parts that it is joined from."""

    value: ir.Value
    parts: tuple[Part, ...] = ()
    """The parts of the value; empty if the output itself is explained."""


@dataclasses.dataclass(frozen=True)
class _Argument:
    """An argument that a value is a monotone function of, and whether the value rises (+1) or falls (−1) with it."""

    value: ir.Value
    sign: np.ndarray
    at_zero: np.ndarray
    """The value at 0 of the innermost function together with the affine functions downstream of it."""
    function: str
    parts: tuple[Part, ...] = ()
    """The parts of the argument; empty unless it is joined from several values."""

    spread: bool = False
    """True if constants downstream broadcast the argument to a larger shape."""

    @property
    def counts(self) -> bool:
        """True where the function is not 0 at 0, so that it is skipped."""
        return bool((self.at_zero != 0).any())


@dataclasses.dataclass(frozen=True)
class _Chain:
    """A value as a monotone function of arguments upstream of it."""

    value: ir.Value
    low: np.ndarray
    high: np.ndarray
    argument: _Argument | None = None
    """The argument of the innermost nonlinear function; None if there is no such function."""
    source: tuple[_Chain, np.ndarray] | None = None
    """The chain of a value of the same shape, of which this value is a monotone function, and the direction: +1 if it
    rises with that value, −1 if it falls."""

    def upstream(self) -> Iterator[tuple[ir.Value, np.ndarray]]:
        """Yield this value and then values upstream, the nearest first and at most `_FAR`, that have its shape and of
        which it is a monotone function; each with the sign, +1 where this value rises with it and −1 where it falls."""
        chain, sign = self, _UP
        yield chain.value, sign
        for _ in range(_FAR):
            if chain.source is None:
                return
            chain, rises = chain.source
            sign = sign * rises
            yield chain.value, sign

    @property
    def skipped(self) -> _Argument | None:
        """The argument that is explained in place of the value; None if the value itself is."""
        return self.argument if self.argument is not None and self.argument.counts else None


def explained_score(op: Builder, output: ir.Value) -> ExplainedScore:
    """Decide which value is explained in place of an output.

    New nodes are appended to the builder's graph if parts of the output have different arguments, or if the sign is
    minus.
    """
    chain = _Chains(op).of(output)
    argument = chain.skipped
    if argument is None:
        return ExplainedScore(output)
    return ExplainedScore(_signed(op, argument), _parts(argument))


def _parts(argument: _Argument) -> tuple[Part, ...]:
    if argument.parts:
        return tuple(dataclasses.replace(p, sign=p.sign * _one_sign(argument.sign)) for p in argument.parts)
    return (Part(str(argument.value.name), _one_sign(argument.sign), argument.function),)


def _one_sign(sign: np.ndarray) -> int:
    signs = np.unique(sign)
    return int(signs[0]) if len(signs) == 1 else 0


def _signed(op: Builder, argument: _Argument) -> ir.Value:
    """Give an argument its sign, in the shape of the value that is computed from it."""
    value, sign = argument.value, _one_sign(argument.sign)
    if not sign or argument.spread:
        return op.Mul(value, op.constant(argument.sign, value.dtype))
    if sign > 0:
        return value
    maker = value.producer()
    negated = maker.inputs[0] if maker is not None and (maker.domain, maker.op_type) == ("", "Neg") else None
    return op.Neg(value) if negated is None else negated


def _spreads(operand: ir.Value, found: MonotoneStep) -> bool:
    """Decide whether constants of a node broadcast its operand to a larger shape."""
    shape = [] if operand.shape is None else list(operand.shape)
    pairs = zip(reversed(shape), reversed(found.at_zero.shape), strict=False)
    return found.at_zero.ndim > len(shape) or any(size != 1 and d == 1 for d, size in pairs)


class _Chains:
    """The chains of the values upstream of an output."""

    def __init__(self, op: Builder) -> None:
        self.op = op
        self.data = _data(op.graph)
        self.found: dict[ir.Value, _Chain] = {}

    def of(self, output: ir.Value) -> _Chain:
        """Build the chain of an output. Each value is visited once and without recursion, because paths may be long,
        split and join again."""
        waiting, sources = [output], {}
        while waiting:
            value = waiting[-1]
            if value not in sources:
                sources[value] = self._sources(value)
                waiting += sources[value].values()
                continue
            waiting.pop()
            if value not in self.found:
                self.found[value] = self._chain(value, sources[value])
        return self.found[output]

    def _sources(self, value: ir.Value) -> dict[int, ir.Value]:
        """Find the operands from which a value follows by a monotone function, or from which it is joined; by index."""
        node = value.producer()
        entry = None if node is None else find(node)
        if node is None or entry is None or callable(entry.head) or node.outputs[0] is not value:
            return {}
        call = Call.of(node)
        if entry.rounding:
            # An integer computation is followed through its copy in floats.
            indices: Sequence[int] = entry.operands(call)
        elif entry.head is not None or _is_cast(node):
            indices = (0,)
        elif entry.elementwise or (entry.moves and not entry.per_output):
            indices = range(len(node.inputs))
        else:
            return {}
        operands = {i: call.input(i) for i in indices}
        return {i: v for i, v in operands.items() if v is not None and v in self.data and _floats(v)}

    def _chain(self, value: ir.Value, sources: dict[int, ir.Value]) -> _Chain:
        node = value.producer()
        entry = None if node is None else find(node)
        if node is None or entry is None:
            return _itself(value)
        if callable(entry.head) and node.outputs.index(value) == len(node.outputs) - 1:
            score = entry.head(self.op, Call.of(node))
            return _Chain(value, -_ANY, _ANY, _Argument(score, _UP, _UP, _named(node)))
        if not sources:
            return _itself(value)
        if entry.rounding or _is_cast(node):
            source = self.found[next(iter(sources.values()))]
            return dataclasses.replace(source, value=value, source=(source, _UP))
        rescaled = sources[0] if entry.head == "rescale" else _normalised(node, self.data)
        if rescaled is not None:
            head = self.found[rescaled].skipped
            return _itself(value) if head is None else _Chain(value, -_UP, _UP, head)
        if entry.head == "squash" and not entry.elementwise:
            return self._softmax(node, value, sources[0])
        if (entry.elementwise and entry.kind is not Kind.ROUTING) or entry.selects_by_value:
            operands = list(sources.values())
            return self._function(node, value, operands[0]) if len(operands) == 1 else self._product(node, operands)
        return self._moved(node, entry, value, sources)

    def _function(self, node: ir.Node, value: ir.Value, operand: ir.Value) -> _Chain:
        """Build the chain of an elementwise function of one value."""
        source = self.found[operand]
        found = step(node, operand, source.low, source.high)
        if found is None:
            return _itself(value)
        argument, spreads = source.argument, _spreads(operand, found)
        if argument is not None and (argument.counts or found.affine):
            at_zero = argument.at_zero
            if found.affine and not argument.counts:
                shifted = found.at(at_zero)
                at_zero = at_zero if shifted is None else shifted
            sign, spread = argument.sign * found.rises, argument.spread or spreads
            argument = dataclasses.replace(argument, sign=sign, at_zero=at_zero, spread=spread)
        elif not found.affine:
            argument = _Argument(operand, found.rises, found.at_zero, _named(node), spread=spreads)
        return _Chain(value, found.low, found.high, argument, None if spreads else (source, found.rises))

    def _softmax(self, node: ir.Node, value: ir.Value, scores: ir.Value) -> _Chain:
        """Build the chain of a softmax: a class's share rises with its own score; with one logit for two classes, the
        other class's share falls with it."""
        low, high = (-_ANY, np.zeros(())) if node.op_type == "LogSoftmax" else (np.zeros(()), _UP)
        source = self.found[scores]
        if source.skipped is not None:
            return _Chain(value, low, high, source.skipped)
        axis = int(Call.of(node).attr("axis", -1))
        single = one_logit(scores, axis, self.data)
        if single is None:
            return _Chain(value, low, high, _Argument(scores, _UP, _UP, _named(node)))
        logit, place = single
        parts = tuple(
            Part(str(logit.name), 1 if i == place else -1, _named(node), elements_of(axis, i, i + 1)) for i in (0, 1)
        )
        pair = [logit if i == place else self.op.Neg(logit) for i in (0, 1)]
        return _Chain(value, low, high, _Argument(self.op.Concat(*pair, axis=axis), _UP, _UP, "", parts))

    def _product(self, node: ir.Node, operands: list[ir.Value]) -> _Chain:
        """Build the chain of a product of nonnegative functions that move in the same direction with one argument."""
        first, second = (self.found[v] for v in operands[:2])
        value = node.outputs[0]
        negative = bool((first.low < 0).any() or (second.low < 0).any())
        if node.op_type != "Mul" or node.domain != "" or len(node.inputs) != 2 or negative:
            return _itself(value)
        signs = dict(second.upstream())
        low, high = first.low * second.low, first.high * second.high
        for argument, sign in first.upstream():
            # A common argument counts only if each factor is explained by it, or by a value downstream of it.
            alike = argument in signs and bool((sign == signs[argument]).all())
            if alike and _reaches(first, argument) and _reaches(second, argument):
                at_zero = evaluate_at(value, argument, np.zeros(()))
                if at_zero is None:
                    break
                function = next((c.argument.function for c in (first, second) if c.argument is not None), _named(node))
                skipped = _Argument(argument, sign, at_zero, function)
                return _Chain(value, low, high, skipped, (self.found[argument], sign))
        return _itself(value)

    def _moved(self, node: ir.Node, entry: Operator, value: ir.Value, sources: Mapping[int, ir.Value]) -> _Chain:
        """Build the chain of a node that moves values: each element keeps its own argument."""
        call = Call.of(node)
        moved = entry.operands(call)
        chains = {i: self.found[v] for i, v in sources.items() if i in moved}
        heads = {i: c.skipped for i, c in chains.items()}
        low = np.min([c.low.min() for c in chains.values()], initial=0.0)
        high = np.max([c.high.max() for c in chains.values()], initial=0.0)
        outside = len(chains) < sum(call.input(i) is not None for i in moved)
        low, high = (-_ANY, _ANY) if outside else (np.asarray(low), np.asarray(high))
        integers = any(v.dtype is not None and not v.dtype.is_floating_point() for v in sources.values())
        if not any(heads.values()) or (integers and (outside or not all(heads.values()))):
            return _Chain(value, low, high)
        replaced = {i: self._like(sources[i], _signed(self.op, h)) for i, h in heads.items() if h is not None}
        score = self.op.run(call.rebind(replaced))
        own = {i: (Part(str(sources[i].name), 1, ""),) if h is None else _parts(h) for i, h in heads.items()}
        return _Chain(value, low, high, _Argument(score, _UP, _UP, "", put_together(node, own)))

    def _like(self, value: ir.Value, argument: ir.Value) -> ir.Value:
        """Cast an argument to the floating-point type of the value that is computed from it."""
        dtype = value.dtype
        return self.op.cast(argument, dtype) if dtype is not None and dtype.is_floating_point() else argument


def _data(graph: ir.Graph) -> set[ir.Value]:
    """Find the values that depend on the content of an input, not only on its shape."""
    data = {v for v in graph.inputs if not v.is_initializer()}
    mark_downstream(graph, data, lambda node: node.outputs, _looked_at)
    return data


def _looked_at(node: ir.Node) -> list[ir.Value | None]:
    """List the operands whose content a node reads, not only their shape."""
    entry, call = find(node), Call.of(node)
    operands = range(len(call.inputs)) if entry is None or bodies(node) else entry.operands(call)
    return [call.input(i) for i in operands]


def _itself(value: ir.Value) -> _Chain:
    """Build the chain of a value that is no known function of another."""
    return _Chain(value, -_ANY, _ANY)


def _floats(value: ir.Value) -> bool:
    return value.dtype is None or value.dtype.is_floating_point() or value.dtype.name in _QUANTISED


def _is_cast(node: ir.Node) -> bool:
    return node.domain == "" and node.op_type in ("Cast", "Identity", "Dropout")


def _named(node: ir.Node) -> str:
    return f"{node.op_type} {node.name!r}"


def _reaches(chain: _Chain, value: ir.Value) -> bool:
    """Decide whether a value is the argument by which a chain is explained, or lies upstream of that argument."""
    values = [v for v, _ in chain.upstream()]
    argument = chain.skipped
    return argument is None or (argument.value in values and values.index(argument.value) <= values.index(value))


def _normalised(node: ir.Node, data: Collection[ir.Value]) -> ir.Value | None:
    """Find the numerator of `p / Σp` or `p / ‖p‖`, a division that normalises scores; None if the node is none."""
    if (node.domain, node.op_type) != ("", "Div"):
        return None
    above, below = node.inputs

    def around(node: ir.Node) -> ir.Value | None:
        return next((v for v in node.inputs if v in data), None) if node.op_type in _AROUND_A_SUM else None

    total = None if below is None else follow(below, around).producer()
    if above is None or total is None or total.op_type not in ("ReduceSum", "ReduceL1", "ReduceL2"):
        return None
    return above if total.inputs[0] in (above, _without_flag(above)) else None


def _without_flag(value: ir.Value) -> ir.Value | None:
    """Find the scores to which a truth value is added, for example one that is true where no score is above 0; None if
    there is no such sum."""
    node = value.producer()
    if node is None or (node.domain, node.op_type) != ("", "Add"):
        return None
    for scores, other in (node.inputs, node.inputs[::-1]):
        flag = made_by(other, "Cast")
        if flag is not None and flag.inputs[0].dtype == ir.DataType.BOOL:  # type: ignore[union-attr]
            return scores
    return None
