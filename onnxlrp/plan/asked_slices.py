"""The slices of samples in which relevance is computed where little memory is to be used."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import onnx_ir as ir

from onnxlrp.errors import InputError
from onnxlrp.printable import listed, shape_text
from onnxlrp.profiles import Profile
from onnxlrp.source.question import Question

_ROUNDS_TOGETHER = ("DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul")
"""Operators that choose one scale for all samples of a batch."""


@dataclasses.dataclass(frozen=True)
class AskedSlices:
    """A request to compute relevance for some samples at a time."""

    samples: ir.Value
    """An input whose axis 0 counts the samples."""
    output: str
    """Name of the explained output, which each slice computes again."""

    @property
    def batch(self) -> str | None:
        """Name of the size that counts samples; None if it has none."""
        return _name(self.samples)

    def cuts(self, value: ir.Value) -> bool:
        """Decide whether axis 0 of an input of the model counts samples."""
        return _is_open(value) and _name(value) in (self.batch, None)


def ask_slices(
    memory: str,
    graph: ir.Graph,
    question: Question,
    inputs: Sequence[ir.Value],
    inner: Sequence[ir.Value],
    profile: Profile,
) -> AskedSlices | None:
    """Read what `convert` was asked for; None where all samples are computed at once.

    `inputs` are the explained inputs, or where there are none the model's; `inner` the inner values that are outputs.
    Raises InputError where samples cannot be told apart.
    """
    if memory == "normal":
        return None
    if profile.rewritten:
        raise InputError(f"memory='low' needs a Loop, which profile {profile.name!r} avoids: leave one of them out")
    joined = [node for node in graph.all_nodes() if node.op_type in _ROUNDS_TOGETHER]
    if joined:
        raise InputError(
            f"memory='low' computes some samples at a time, and {joined[0].op_type} {joined[0].name!r} rounds all "
            "samples of a batch together: give fewer in a call, or convert the model before it was quantised"
        )
    fixed = [value for value in (*inputs, question.output) if not _is_open(value)]
    if fixed:
        raise InputError(
            "memory='low' computes some samples at a time, so it needs a batch of any size on axis 0; the model has "
            f"{listed(f'{value.name} {_text(value)}' for value in fixed)}"
        )
    asked = AskedSlices(inputs[0], str(question.output.name))
    others = [value for value in inputs if not asked.cuts(value)]
    odd = [*others, *(value for value in inner if not _is_open(value) or _name(value) != asked.batch)]
    if odd:
        raise InputError(
            f"memory='low' cuts axis 0 of {inputs[0].name!r}; axis 0 of "
            f"{listed(f'{value.name} {_text(value)}' for value in odd)} does not count the same samples"
        )
    return asked


def _is_open(value: ir.Value) -> bool:
    """Decide whether axis 0 of a value is of any size."""
    return value.shape is not None and len(value.shape) > 0 and not isinstance(value.shape[0], int)


def _name(value: ir.Value) -> str | None:
    size = value.shape[0] if value.shape else None
    return size.value if isinstance(size, ir.SymbolicDim) else None


def _text(value: ir.Value) -> str:
    shape = value.shape
    return shape_text(None if shape is None else [d if isinstance(d, int) else d.value for d in shape])
