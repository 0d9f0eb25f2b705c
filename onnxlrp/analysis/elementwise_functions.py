"""Elementwise functions of one value, and their value at 0, to which the operand contributes nothing.

A sigmoid of 0 is one half, whatever the input: this half is no contribution of the operand. So the plan needs
the value at 0 of each activation, also of those that are written out in several nodes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.elementwise_regions import region_entry
from onnxlrp.analysis.facts import Facts
from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import Kind, find
from onnxlrp.source.evaluate import evaluate_at

_FAR = 16
"""Nodes that a function is followed upstream for a finite value at 0."""


@dataclasses.dataclass(frozen=True)
class Function:
    """A node's output as an elementwise function of one value."""

    argument: ir.Value
    at_zero: np.ndarray | None
    """The function at 0, broadcast to the argument's shape; None where it is not known before the model runs."""

    @property
    def vanishes(self) -> bool:
        """True where the function is 0 at 0."""
        return self.at_zero is not None and not self.at_zero.any()

    @property
    def is_finite(self) -> bool:
        """True where the function has a value at 0."""
        return self.at_zero is None or bool(np.isfinite(self.at_zero).all())


def function_of(node: ir.Node, operands: Mapping[int, ir.Value], facts: Facts) -> Function:
    """The function of a nonlinear elementwise node, which relevance reaches at `operands`.

    The function begins at the node's own operand or at the entrance of its region. It begins further upstream where
    only the longer function has a value at 0, as log(x + ε) has, and where it consists of several functions that each
    have one, as 1 / (1 + exp(−x)) does.
    """
    argument = region_entry(node, facts) or next(iter(operands.values()))
    found = _function(node, argument)
    if found.at_zero is None:
        return found
    found = _begun_upstream(node, found, facts) if found.is_finite else _made_finite(node, found, facts)
    return _unshifted(node, found, facts)


def shifted_function_of(node: ir.Node, operand: ir.Value, facts: Facts) -> Function | None:
    """The function of an affine node that ends a nonlinear one, such as 1 − sigmoid(x); None where none is upstream."""
    argument = operand
    for _ in range(_FAR):
        maker, upstream = argument.producer(), upstream_operand(argument, node, facts)
        if maker is None or upstream is None:
            return None
        argument = upstream
        if _is_curved(maker, upstream, facts):
            found = _function(node, argument)
            return _begun_upstream(node, found, facts) if found.at_zero is not None and found.is_finite else None
    return None


def _function(node: ir.Node, argument: ir.Value) -> Function:
    call, entry = Call.of(node), find(node)
    own = argument is call.input(0)
    if own and entry is not None and (entry.sign_of(call) == "same" or entry.cut_at_zero(call)):
        return Function(argument, np.zeros(()))
    return Function(argument, evaluate_at(node.outputs[0], argument, np.zeros(())))


def _made_finite(node: ir.Node, found: Function, facts: Facts) -> Function:
    """The shortest function upstream that has a value at 0, or the node's own where there is none."""
    argument = found.argument
    for _ in range(_FAR):
        upstream = upstream_operand(argument, node, facts)
        if upstream is None:
            break
        argument = upstream
        longer = _function(node, argument)
        if longer.is_finite and longer.at_zero is not None:
            return _begun_upstream(node, longer, facts)
    return found


def _begun_upstream(node: ir.Node, found: Function, facts: Facts) -> Function:
    """Begin a function at the first of the functions that it consists of, as far as each has a value at 0."""
    argument = found.argument
    for _ in range(_FAR):
        maker, upstream = argument.producer(), upstream_operand(argument, node, facts)
        if maker is None or upstream is None:
            break
        argument = upstream
        if not _is_curved(maker, upstream, facts):
            continue
        own, longer = _function(maker, upstream), _function(node, upstream)
        if not own.is_finite:
            continue  # A part of one that is written out, such as the quotient of a sigmoid.
        if own.vanishes or longer.at_zero is None or not longer.is_finite:
            break
        found = longer
    return found


def _unshifted(node: ir.Node, found: Function, facts: Facts) -> Function:
    """Begin an even function of a shifted value, such as (x − m)², at the value x that is shifted.

    Such a function turns at the shift: the sign of its change with x does not follow from the sign of x − m.
    """
    if upstream_operand(found.argument, node, facts, broadcast=True) is None:
        return found
    ends = [evaluate_at(node.outputs[0], found.argument, np.full((), v)) for v in (-1.0, 1.0)]
    if any(e is None or not np.isfinite(e).all() for e in ends) or (ends[0] != ends[1]).any():  # type: ignore[union-attr]
        return found
    for _ in range(_FAR):
        upstream = upstream_operand(found.argument, node, facts, broadcast=True)
        longer = None if upstream is None else _function(node, upstream)
        if longer is None or longer.at_zero is None or not longer.is_finite:
            break
        found = longer
    return found


def upstream_operand(value: ir.Value, node: ir.Node, facts: Facts, *, broadcast: bool = False) -> ir.Value | None:
    """The one value that an elementwise node computes another from, element by element, in the graph of `node`.

    `broadcast` lets constants of the node broadcast this one value to a larger shape.
    """
    maker = value.producer()
    entry = None if maker is None else find(maker)
    if maker is None or entry is None or maker.graph is not node.graph or _is_layer(maker, facts):
        return None
    if not entry.elementwise or entry.kind is Kind.CUSTOM:
        return None
    region = region_entry(maker, facts)
    operands = [region] if region is not None else list(facts.relevance_operands(maker).values())
    known = len(operands) == 1 and operands[0].shape is not None and value.shape is not None
    return operands[0] if known and (broadcast or operands[0].shape == value.shape) else None


def _is_layer(node: ir.Node, facts: Facts) -> bool:
    """Decide whether a node is a layer, or adds the bias of one."""
    makers = (p for v in node.inputs if v is not None and (p := v.producer()) in facts.layers)
    return node in facts.layers or any(facts.layers[maker].add is node for maker in makers)


def _is_curved(node: ir.Node, operand: ir.Value, facts: Facts) -> bool:
    """Decide whether a node is no affine function of a value, alone or together with the region that it ends."""
    entry = find(node)
    if region_entry(node, facts) is operand:
        return True
    if entry is None or entry.kind is not Kind.LINEAR:
        return entry is not None and not entry.selects_by_value
    # A quotient is curved in its denominator; a product of one value with itself is.
    return sum(v is operand for v in node.inputs) != 1 or (
        entry.linear_in is not None and node.inputs[0] is not operand
    )
