"""Elementwise functions of one value and their value f(0), which is no contribution of the operand.

A sigmoid is one half at 0, and this half is there whatever the input. The plan therefore needs f(0) of every
activation, including those that are written out in several nodes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.elementwise_regions import region_entry
from onnxlrp.analysis.facts import Facts
from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import Kind, find
from onnxlrp.source.evaluate import evaluate_at

_FAR = 16
"""Largest number of nodes that are walked upstream to extend a function."""


@dataclasses.dataclass(frozen=True)
class Function:
    """A node's output as an elementwise function of one value."""

    argument: ir.Value
    at_zero: np.ndarray | None
    """The function's value at 0, broadcastable to the argument's shape; None where only a run of the model tells it."""

    @property
    def vanishes(self) -> bool:
        """True where the function is 0 at 0."""
        return self.at_zero is not None and not self.at_zero.any()

    @property
    def is_finite(self) -> bool:
        """True where the value at 0 is finite, or not known before the model runs."""
        return self.at_zero is None or bool(np.isfinite(self.at_zero).all())


def function_of(node: ir.Node, operands: Mapping[int, ir.Value], facts: Facts) -> Function:
    """Return the function that ends in a nonlinear elementwise node; `operands` are those that relevance goes to.

    The function begins at the node's own operand or at the entrance of its region. It begins further upstream where
    only the longer function is finite at 0, such as log(x + ε), and where it is a chain of functions that are each
    finite at 0, such as 1 / (1 + exp(−x)).
    """
    argument = region_entry(node, facts) or next(iter(operands.values()))
    function = _function(node, argument)
    if function.at_zero is None:
        return function
    function = (
        _extend_upstream(node, function, facts) if function.is_finite else _extend_to_finite(node, function, facts)
    )
    return _extend_past_shift(node, function, facts)


def shifted_function_of(node: ir.Node, operand: ir.Value, facts: Facts) -> Function | None:
    """Return the nonlinear function that ends in an affine node, such as 1 − sigmoid(x); None where all is affine."""
    for producer, argument in arguments_upstream(operand, node, facts):
        if _is_curved(producer, argument, facts):
            function = _function(node, argument)
            known = function.at_zero is not None and function.is_finite
            return _extend_upstream(node, function, facts) if known else None
    return None


def _function(node: ir.Node, argument: ir.Value) -> Function:
    call, entry = Call.of(node), find(node)
    own = argument is call.input(0)
    if own and entry is not None and entry.sign_of(call) in ("same", "rectified"):
        return Function(argument, np.zeros(()))
    return Function(argument, evaluate_at(node.outputs[0], argument, np.zeros(())))


def _extend_to_finite(node: ir.Node, function: Function, facts: Facts) -> Function:
    """Extend a function upstream until it is finite at 0; return it unchanged if this never happens."""
    for _, argument in arguments_upstream(function.argument, node, facts):
        longer = _function(node, argument)
        if longer.is_finite and longer.at_zero is not None:
            return _extend_upstream(node, longer, facts)
    return function


def _extend_upstream(node: ir.Node, function: Function, facts: Facts) -> Function:
    """Extend a function upstream through the functions that it is a chain of, as long as each of them is finite at
    0."""
    for producer, upstream in arguments_upstream(function.argument, node, facts):
        if not _is_curved(producer, upstream, facts):
            continue
        own, longer = _function(producer, upstream), _function(node, upstream)
        if not own.is_finite:
            continue  # This node is part of a function that is written out, such as the quotient of a sigmoid.
        if own.vanishes or longer.at_zero is None or not longer.is_finite:
            break
        function = longer
    return function


def _extend_past_shift(node: ir.Node, function: Function, facts: Facts) -> Function:
    """Extend an even function of a shifted value, such as (x − m)², to the value x that is shifted.

    Such a function turns at m, so that the sign of x − m does not tell whether it rises or falls with x.
    """
    if upstream_operand(function.argument, node, facts, broadcast=True) is None:
        return function
    ends = [evaluate_at(node.outputs[0], function.argument, np.full((), v)) for v in (-1.0, 1.0)]
    if any(e is None or not np.isfinite(e).all() for e in ends) or (ends[0] != ends[1]).any():  # type: ignore[union-attr]
        return function
    for _, upstream in arguments_upstream(function.argument, node, facts, broadcast=True):
        longer = _function(node, upstream)
        if longer.at_zero is None or not longer.is_finite:
            break
        function = longer
    return function


def arguments_upstream(
    value: ir.Value, node: ir.Node, facts: Facts, *, broadcast: bool = False
) -> Iterator[tuple[ir.Node, ir.Value]]:
    """Yield the values that a value is an elementwise function of, the nearest first, each with the node that reads it.
    The last one is where `upstream_operand` finds no other."""
    for _ in range(_FAR):
        producer, upstream = value.producer(), upstream_operand(value, node, facts, broadcast=broadcast)
        if producer is None or upstream is None:
            return
        yield producer, upstream
        value = upstream


def upstream_operand(value: ir.Value, node: ir.Node, facts: Facts, *, broadcast: bool = False) -> ir.Value | None:
    """Return the operand of which the producer of `value` is an elementwise function, or the entry of its region.

    The result is None if the producer is a layer, is not elementwise, has several data operands, or lies in another
    graph than `node`. `broadcast` permits the operand to have a smaller shape than `value`.
    """
    producer = value.producer()
    entry = None if producer is None else find(producer)
    if producer is None or entry is None or producer.graph is not node.graph or _is_layer(producer, facts):
        return None
    if not entry.elementwise or entry.kind is Kind.CUSTOM:
        return None
    region = region_entry(producer, facts)
    operands = [region] if region is not None else list(facts.relevance_operands(producer).values())
    known = len(operands) == 1 and operands[0].shape is not None and value.shape is not None
    return operands[0] if known and (broadcast or operands[0].shape == value.shape) else None


def _is_layer(node: ir.Node, facts: Facts) -> bool:
    """Decide whether a node is a layer or adds the bias of one."""
    producers = (p for v in node.inputs if v is not None and (p := v.producer()) in facts.layers)
    return node in facts.layers or any(facts.layers[producer].add is node for producer in producers)


def _is_curved(node: ir.Node, operand: ir.Value, facts: Facts) -> bool:
    """Decide whether a node, alone or with the region that ends in it, is not an affine function of its operand."""
    entry = find(node)
    if region_entry(node, facts) is operand:
        return True
    if entry is None or entry.kind is not Kind.LINEAR:
        return entry is not None and not entry.selects_by_value
    # A quotient is curved in its denominator, and so is a product of one value with itself.
    return sum(v is operand for v in node.inputs) != 1 or (
        entry.linearity == "quotient" and node.inputs[0] is not operand
    )
