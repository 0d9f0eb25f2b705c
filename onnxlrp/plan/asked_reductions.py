"""The reductions of relevance that a caller asks for, checked against the inputs that they are of."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import onnx_ir as ir

from onnxlrp.analysis.sample_axes import SampleAxes, axes_of_input
from onnxlrp.errors import InputError
from onnxlrp.near_names import did_you_mean
from onnxlrp.printable import listed
from onnxlrp.reductions import Reduction
from onnxlrp.source.question import Question

_MOST_AXES = 3
"""Most axes beside samples and channels that a grid lies over."""


@dataclasses.dataclass(frozen=True)
class ReducedInput:
    """A reduction, and the axes of the input whose relevance is reduced."""

    reduction: Reduction
    axes: SampleAxes
    shape: ir.Shape | None
    """Declared shape of the input; None if not even its rank is known."""

    @property
    def has_no_batch(self) -> bool:
        """True if the input is one sample without an axis of samples, and its reduced relevance gets one."""
        return self.axes.batch is None and not self.reduction.keeps_shape

    @property
    def result_shape(self) -> ir.Shape | None:
        """Shape of the reduced relevance for one target, [N, ...]; None where not even the rank is known."""
        asked, shape = self.reduction, self.shape
        if asked.keeps_shape or shape is None:
            return shape if asked.keeps_shape else ir.Shape([None, asked.top])
        if asked.top is not None:
            sizes: list[int | ir.SymbolicDim | None] = [asked.top]
        else:
            sizes = [shape[axis] if asked.grid is None else asked.grid for axis in self.space]
        return ir.Shape([1 if self.axes.batch is None else shape[0], *sizes])

    @property
    def choices(self) -> int | None:
        """Number of elements of one sample that the largest are picked from; None if it is not known before the model
        runs."""
        if self.shape is None:
            return None
        if self.reduction.grid is not None:
            return int(self.reduction.grid ** len(self.space))
        every = [axis for axis in range(len(self.shape)) if axis != self.axes.batch]
        sizes = [self.shape[axis] for axis in (self.space if self.reduction.channels else every)]
        known = [size for size in sizes if isinstance(size, int)]
        return math.prod(known) if len(known) == len(sizes) else None

    @property
    def space(self) -> list[int]:
        """Axes of the input beside those of samples and channels."""
        known = {self.axes.batch, self.axes.channels}
        return [] if self.shape is None else [axis for axis in range(len(self.shape)) if axis not in known]


def ask_reductions(
    reduce: str | Mapping[str, str] | None, question: Question, inputs: Sequence[ir.Value], targets: int
) -> dict[ir.Value, ReducedInput]:
    """Read what `convert` was asked for, for each of the inputs that have relevance.

    Raises InputError for a reduction that does not exist, or that an input cannot have.
    """
    assert question.axes is not None
    is_one, shape = question.axes.batch is None, question.score.shape
    size = None if shape is None or question.axes.batch is None else shape[question.axes.batch]
    symbol = size.value if isinstance(size, ir.SymbolicDim) else None
    found = {}
    for value, reduction in _by_input(reduce, inputs).items():
        asked = ReducedInput(reduction, axes_of_input(value, symbol, is_one), value.shape)
        if not reduction.keeps_shape:
            _check(str(value.name), asked, len(inputs), targets)
        found[value] = asked
    return found


def _by_input(reduce: Any, inputs: Sequence[ir.Value]) -> dict[ir.Value, Reduction]:
    """Assign the reductions to inputs; a single one needs a single input."""
    if not reduce and not isinstance(reduce, str):
        return {}
    if not inputs:
        raise InputError(
            "no input is explained, so that there is no relevance to reduce: that of inner values stays whole"
        )
    if not isinstance(reduce, Mapping):
        reduction = Reduction.parse(reduce)
        if len(inputs) > 1:
            raise InputError(
                f"{len(inputs)} inputs are explained, so that reduce takes a reduction for each by its name: "
                f"{{{str(inputs[0].name)!r}: {str(reduction)!r}}}; the inputs are {listed(v.name for v in inputs)}"
            )
        return {inputs[0]: reduction}
    known = {str(v.name): v for v in inputs}
    unknown = [name for name in reduce if name not in known]
    if unknown:
        near = did_you_mean(unknown[0], known)
        raise InputError(f"no relevance of {unknown[0]!r:.80} is computed that could be reduced{near}: it is computed "
                         f"of {listed(known)}")  # fmt: skip
    return {known[name]: Reduction.parse(text) for name, text in reduce.items()}


def _check(name: str, asked: ReducedInput, inputs: int, targets: int) -> None:
    """Raise InputError if the axes of an input do not allow what is asked for."""
    reduction, shape, axes = asked.reduction, asked.shape, asked.axes
    if shape is None and (reduction.sums_channels or targets > 1):
        raise InputError(f"{str(reduction)!r} needs to know the axes of {name!r}, and the model does not declare them")
    if axes.batch not in (0, None):
        raise InputError(f"{str(reduction)!r} needs an input whose axis 0 counts samples: {name!r} {shape} counts them "
                         f"along axis {axes.batch}. Reduce its relevance after the run")  # fmt: skip
    if reduction.sums_channels and not axes.is_known:
        raise InputError(
            f"{str(reduction)!r}: no layer and no declared size of {name!r} {shape} tells which axis holds channels"
        )
    if reduction.channels and axes.channels is None:
        raise InputError(f"{name!r} {shape} has no axis of channels to sum over: leave 'channels' out of the reduction")
    if reduction.grid is not None and not 1 <= len(asked.space) <= _MOST_AXES:
        raise InputError(f"a grid lies over one to {_MOST_AXES} axes, and {name!r} {shape} has {len(asked.space)} "
                         "beside samples and channels")  # fmt: skip
    size = asked.choices
    if reduction.top is not None and size is not None and reduction.top > size:
        several = "; top picks among the elements of one input, and never among inputs" if inputs > 1 else ""
        raise InputError(
            f"'top={reduction.top}' asks for more than there is: a sample of {name!r} {shape} has {size} "
            f"{'element' if size == 1 else 'elements'}{' by then' if reduction.sums_channels else ''}{several}"
        )
