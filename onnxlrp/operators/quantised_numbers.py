"""Dequantised values, and the registration of an operator on integers with its computation in floats."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import onnx_ir as ir

from onnxlrp.graph.call import Call, content
from onnxlrp.operators.quantised import one_number
from onnxlrp.operators.registry import Operands, Reversed, custom

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


def in_floats(name: str, operands: Sequence[int] | Operands, domain: str = "", **options: Any) -> Callable:
    """Register `compute(op, call) -> output in floats`, through which relevance goes; the model's own node is kept."""

    def decorate(compute: Callable) -> Callable:
        def never(op: Builder, call: Call, r: ir.Value, gradient: bool) -> Reversed:
            raise AssertionError(f"{name}: relevance goes through its computation in floats")

        never.__doc__ = compute.__doc__
        at = operands if callable(operands) else lambda call: operands
        custom(name, domain=domain, operands=at, in_floats=compute, **options)(never)
        return compute

    return decorate


def weight(op: Builder, w: ir.Value, scale: ir.Value, zero: ir.Value | None, axis: int) -> ir.Value:
    """Compute `(w − zero)·scale` of a constant, in operators that a session folds; scale and zero are numbers, or
    vectors along `axis`."""
    rank = None if w.shape is None else len(w.shape)

    def along_axis(value: ir.Value) -> ir.Value:
        if value.shape is None or len(value.shape) != 1 or rank is None or value.shape[0] == 1:
            return value
        return op.Reshape(value, op.ints([-1 if a == axis % rank else 1 for a in range(rank)]))

    if (number := one_number(op, w, scale, zero)) is not None:
        return number
    numbers = op.Cast(w, to=scale.dtype)
    if zero is not None:
        numbers = op.Sub(numbers, along_axis(op.Cast(zero, to=scale.dtype)))
    return op.Mul(numbers, along_axis(scale))


def reals(op: Builder, x: ir.Value, scale: ir.Value, zero: ir.Value | None, axis: int = -1) -> ir.Value:
    """Dequantise integers x; `axis` is the axis of a scale that is a vector."""
    if x.const_value is not None:
        return weight(op, x, scale, zero, axis)
    vector = scale.shape is not None and len(scale.shape) == 1 and scale.shape[0] != 1
    if vector:
        return op.DequantizeLinear(x, scale, zero, axis=axis)
    return op.DequantizeLinear(x, _scalar(op, scale), None if zero is None else _scalar(op, zero))


def _scalar(op: Builder, value: ir.Value) -> ir.Value:
    if value.shape is not None and len(value.shape) == 0:
        return value
    known = content(value)
    return op.Reshape(value, op.ints([])) if known is None else op.constant(known.reshape(()))
