"""Einsum: sums of products that an equation describes; its transpose is another Einsum."""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Sequence
from typing import TYPE_CHECKING

import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.operators.registry import LayerForm, linear

if TYPE_CHECKING:
    from onnxlrp.graph.builder import Builder


@dataclasses.dataclass(frozen=True)
class Equation:
    """An equation with one letter for each axis of each operand and of the output, without ellipses."""

    operands: tuple[str, ...]
    output: str

    @classmethod
    def of(cls, text: str, ranks: Sequence[int]) -> Equation:
        """Read an equation for operands of these ranks.

        An ellipsis stands for the axes without letters, aligned at the last axis. An output that is left out consists
        of the ellipsis and the letters that occur once, in alphabetical order.
        """
        left, arrow, right = text.replace(" ", "").partition("->")
        terms = left.split(",")
        named = "".join(terms).replace(".", "")
        hidden = [r - len(t.replace("...", "")) if "..." in t else 0 for t, r in zip(terms, ranks, strict=True)]
        free = [c for c in string.ascii_letters if c not in text]
        broad = "".join(free[: max(hidden)])
        written = [t.replace("...", broad[len(broad) - h :]) for t, h in zip(terms, hidden, strict=True)]
        implied = "..." + "".join(sorted(c for c in set(named) if named.count(c) == 1))
        return cls(tuple(written), (right if arrow else implied).replace("...", broad))


def _equation(call: Call) -> Equation:
    return Equation.of(str(call.attr("equation")), [call.rank(i) for i in range(len(call.inputs))])


def _operands(call: Call) -> Sequence[int]:
    """Name all operands if they are floats, and none for integers, whose products are arithmetic on positions."""
    dtype = call.operand(0).dtype
    return range(len(call.inputs)) if dtype is None or dtype.is_floating_point() else ()


def _features(call: Call, data: int) -> set[int]:
    """Name the axes of the output, counted from its end, that come from the weight alone."""
    equation = _equation(call)
    own = equation.operands[data]
    return {i - len(equation.output) for i, letter in enumerate(equation.output) if letter not in own}


def _by_rows(call: Call) -> bool:
    """Decide whether each row of the output depends on one row of the first operand: axis 0 of that operand is an axis
    of the output and not an axis of the other operand."""
    first, second = (equation := _equation(call)).operands
    return first.count(first[0]) == 1 and first[0] in equation.output and first[0] not in second


_LAYER = LayerForm("dense", ((0, 1), (1, 0)), features=_features, by_rows=_by_rows)


@linear("Einsum", operands=_operands, sign="keeps", layer=_LAYER)
def einsum(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance takes the layer's rule if one operand is constant, else the composite's rule for products of data."""
    return _transpose(op, call, operand, r)


@linear("Einsum", operands=_operands, sign="keeps", when=lambda call: len(call.inputs) > 2)
def of_several(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Relevance takes the composite's rule for products, because an Einsum of more than two operands is no layer with
    one weight."""
    return _transpose(op, call, operand, r)


def _transpose(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Compute the transpose in one operand: an Einsum of `r` and the other operands to the letters of that operand."""
    equation = _equation(call)
    like, own = call.operand(operand), equation.operands[operand]
    terms = [(equation.output, r)]
    terms += [(t, call.operand(i)) for i, t in enumerate(equation.operands) if i != operand]
    assert r.dtype is not None
    # The forward pass sums over a letter that only this operand has: along its axis, r is copied.
    here = "".join(t for t, _ in terms)
    for axis, letter in enumerate(own):
        if letter not in here and letter not in own[:axis]:
            terms.append((letter, op.full(op.dim(like, axis), 1, r.dtype)))
    # A letter that this operand has twice selects a diagonal: elsewhere the result is 0.
    free = [c for c in string.ascii_letters if c not in here + own]
    result = ""
    for axis, letter in enumerate(own):
        name = letter if letter not in result else free.pop()
        if name != letter:
            terms.append((letter + name, identity(op, op.dim(like, axis), r.dtype)))
        result += name
    return op.unbroadcast(_product(op, terms, result), like)


def identity(op: Builder, size: ir.Value, dtype: ir.DataType) -> ir.Value:
    """Build the identity matrix, [size, size]; `size` is int64 [1]."""
    rows = op.count_up(size)
    return op.one_hot(op.Unsqueeze(rows, op.ints([1])), size, dtype)


def _product(op: Builder, terms: Sequence[tuple[str, ir.Value]], result: str) -> ir.Value:
    """Compute the Einsum of (letters, value) terms; numbers without an axis multiply its result."""
    numbers = [v for t, v in terms if not t]
    tensors = [(t, v) for t, v in terms if t]
    if tensors:
        text = ",".join(t for t, _ in tensors) + "->" + result
        numbers.insert(0, op.Einsum(*(v for _, v in tensors), equation=text))
    product = numbers[0]
    for number in numbers[1:]:
        product = op.Mul(product, number)
    return product
