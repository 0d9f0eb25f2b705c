"""Einsum: sums of products, written as an equation. Its transpose is another one."""

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
    """One letter for every axis of every operand and of the output: ellipses and an implied output are written out."""

    operands: tuple[str, ...]
    output: str

    @classmethod
    def of(cls, text: str, ranks: Sequence[int]) -> Equation:
        """Read an equation for operands of these ranks.

        An ellipsis stands for the axes that the letters leave, aligned at the last. An output that is left out has the
        ellipsis and the letters that appear once, in alphabetical order.
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
    """Of integers it is arithmetic on positions."""
    dtype = call.operand(0).dtype
    return range(len(call.inputs)) if dtype is None or dtype.is_floating_point() else ()


def _features(call: Call, data: int) -> set[int]:
    """Axes of the output that come from the weight alone."""
    equation = _equation(call)
    own = equation.operands[data]
    return {i - len(equation.output) for i, letter in enumerate(equation.output) if letter not in own}


def _by_rows(call: Call) -> bool:
    """Decide whether the first axis of the first operand is one of the output's, and no other operand's."""
    first, second = (equation := _equation(call)).operands
    return first.count(first[0]) == 1 and first[0] in equation.output and first[0] not in second


_LAYER = LayerForm("dense", ((0, 1), (1, 0)), features=_features, by_rows=_by_rows)


@linear("Einsum", operands=_operands, sign="keeps", layer=_LAYER)
def einsum(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Layer with a constant: every rule. Of several data operands: by the composite's rule for products."""
    return _transpose(op, call, operand, r)


@linear("Einsum", operands=_operands, sign="keeps", when=lambda call: len(call.inputs) > 2)
def of_several(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """Of more than two operands: a product, no layer with one weight."""
    return _transpose(op, call, operand, r)


def _transpose(op: Builder, call: Call, operand: int, r: ir.Value) -> ir.Value:
    """The Einsum of what came back and of the other operands, for the letters of this one."""
    equation = _equation(call)
    like, own = call.operand(operand), equation.operands[operand]
    terms = [(equation.output, r)]
    terms += [(t, call.operand(i)) for i, t in enumerate(equation.operands) if i != operand]
    assert r.dtype is not None
    # A letter that only this operand has was summed over: its axis is filled with copies.
    here = "".join(t for t, _ in terms)
    for axis, letter in enumerate(own):
        if letter not in here and letter not in own[:axis]:
            terms.append((letter, op.full(op.dim(like, axis), 1, r.dtype)))
    # A letter twice in it picked a diagonal: all else is 0.
    free = [c for c in string.ascii_letters if c not in here + own]
    result = ""
    for axis, letter in enumerate(own):
        name = letter if letter not in result else free.pop()
        if name != letter:
            terms.append((letter + name, identity(op, op.dim(like, axis), r.dtype)))
        result += name
    return op.unbroadcast(_product(op, terms, result), like)


def identity(op: Builder, size: ir.Value, dtype: ir.DataType) -> ir.Value:
    """The identity matrix; `size`, int64 [1]."""
    rows = op.Range(op.ints_scalar(0), op.Squeeze(size, op.ints([0])), op.ints_scalar(1))
    return op.one_hot(op.Unsqueeze(rows, op.ints([1])), size, dtype)


def _product(op: Builder, terms: Sequence[tuple[str, ir.Value]], result: str) -> ir.Value:
    """The Einsum of these terms; numbers without an axis multiply what it gives."""
    numbers = [v for t, v in terms if not t]
    tensors = [(t, v) for t, v in terms if t]
    if tensors:
        text = ",".join(t for t, _ in tensors) + "->" + result
        numbers.insert(0, op.Einsum(*(v for _, v in tensors), equation=text))
    product = numbers[0]
    for number in numbers[1:]:
        product = op.Mul(product, number)
    return product
