"""Columns of a table inside the graph, each followed back to the column of an input that it is computed from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.analysis.values_inside import value_inside
from onnxlrp.errors import InputError
from onnxlrp.plan.steps import Step, StepKind

Array = np.ndarray
_NONE = 0
"""Number of an element that comes from no column of an explained input."""


def column_names(inputs: Iterable[ir.Value]) -> list[str]:
    """Name the columns of all inputs in their order: `x` for an input of one column, else `x[0]`, `x[1]`.

    Raises InputError for an input whose number of columns is not declared.
    """
    widths = [(str(v.name), _numbers(v, 1).max()) for v in inputs]
    return [name if width == 1 else f"{name}[{i}]" for name, width in widths for i in range(int(width))]


def column_sources(step: Step, steps: Sequence[Step], inputs: Sequence[ir.Value], facts: Facts) -> Array:
    """Find for each column of a step's operand [samples, columns] the place, in the order of `column_names`, of the
    column that it is computed from; −1 where that is no column of the inputs.

    The elements of the inputs are numbered, and the numbers go through the steps upstream as the values do. Raises
    InputError where a column is computed from several others.
    """
    (operand,) = step.operands.values()
    numbers: dict[ir.Value, Array] = {}
    first = 1
    for value in inputs:
        numbers[value] = _numbers(value, first)
        first = int(numbers[value].max()) + 1
    for upstream in reversed(_leading_to(operand, steps)):
        _follow(upstream, numbers, facts)
    found = numbers[operand]
    if found.ndim != 2:
        raise _mixed(step, "its operand is no table of samples and columns")
    return found[0].astype(np.int64) - 1


def _numbers(value: ir.Value, first: int) -> Array:
    """Number the columns of an input, from `first` on, the same for each sample along axis 0."""
    dims = list(value.shape or ())
    widths = [d for d in dims[1:] if isinstance(d, int)]
    if not dims or len(widths) < len(dims) - 1:
        raise InputError(f"interactions: the input {value.name!r} declares no number of columns; declare its shape")
    samples = dims[0] if isinstance(dims[0], int) else 1
    return np.broadcast_to(first + np.arange(np.prod(widths, dtype=int)).reshape(widths), (samples, *widths)) * 1.0


def _leading_to(value: ir.Value, steps: Sequence[Step]) -> list[Step]:
    """List the steps upstream of a value, in the order in which relevance visits them."""
    wanted, found = {value}, []
    for step in steps:
        if wanted.intersection(step.outputs):
            found.append(step)
            wanted.update(step.operands.values())
    return found


def _follow(step: Step, numbers: dict[ir.Value, Array], facts: Facts) -> None:
    """Take the numbers of a step's operands to its outputs."""
    entry, operands = step.entry, list(step.operands.values())
    if entry.moves and step.kind is StepKind.ROUTING:
        feeds = {**{v: _nothing(v) for v in step.node.inputs if v in facts.data and v not in numbers}, **numbers}
        for output in step.outputs:
            numbers[output] = value_inside(output, feeds)
        return
    block = entry.expands or step.kind is StepKind.LOOKUP
    if len(operands) != 1 or not (block or entry.elementwise):
        raise _mixed(step, "it computes a column from several")
    (found,), (output, *_) = (numbers[v] for v in operands), step.outputs
    if block:
        width = (output.shape or (None,))[-1]
        if not isinstance(width, int):
            raise _mixed(step, "the number of its columns is not known")
        found = np.broadcast_to(found[..., None], (*found.shape, width))
        rank = len(output.shape or ())
        found = found if rank == found.ndim else found.reshape(*found.shape[: rank - 1], -1)
    numbers[output] = np.broadcast_to(found, np.broadcast_shapes(found.shape, _sizes(output)))


def _nothing(value: ir.Value | None) -> Array:
    assert value is not None
    return np.full(_sizes(value), _NONE, np.float64)


def _sizes(value: ir.Value) -> tuple[int, ...]:
    """Return the sizes of a value, 1 for those that are not known."""
    return tuple(d if isinstance(d, int) else 1 for d in value.shape or ())


def _mixed(step: Step, why: str) -> InputError:
    return InputError(
        f"interactions: {step.operator} {step.name!r} lies between the inputs and a tree ensemble, and {why}: "
        "interactions of columns do not go through it"
    )
