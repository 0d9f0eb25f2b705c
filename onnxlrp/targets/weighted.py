"""`target="weights"`: relevance starts as weights × score, whatever the shape of the scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import TargetError
from onnxlrp.interface import Interface
from onnxlrp.printable import shape_text
from onnxlrp.targets.argument_arrays import to_numbers
from onnxlrp.targets.kind import Axes, Seed, Sizes, TargetKind

if TYPE_CHECKING:
    from onnxlrp.targets.seeder import Seeder


class WeightsTarget(TargetKind):
    """Target of weights that are broadcast to the explained output, 1 by default."""

    name = "weights"
    explains = "a weighted sum of scores"
    by_default = "the sum of all scores"
    arguments = ("weights",)

    def layout(self, score: ir.Value, inputs: Sequence[ir.Value], name: str) -> Axes:
        return Axes(None if score.shape is not None and not len(score.shape) else 0, None)

    def seed(self, seeder: Seeder, axes: Axes) -> Seed:
        op, score = seeder.op, seeder.question.score
        shape = op.shape(score)
        if not seeder.options.has_input:
            return Seed(op.full(shape, 1, seeder.dtype))
        name, rank = f"{seeder.question.name}_weights", len(score.shape or ())
        dims = None if score.shape is None else [ir.SymbolicDim(f"{name}_{axis}") for axis in range(rank)]
        weights = seeder.input("weights", name, seeder.dtype, dims, np.ones([1] * rank, seeder.dtype.numpy()))
        return Seed(op.Expand(weights, shape))

    def read(self, argument: str, value: Any, interface: Interface, shape: Sizes | None) -> np.ndarray:
        weights = to_numbers(value, argument)
        if weights.dtype.kind not in "biuf":
            raise TargetError(f"weights must be numbers, not {weights.dtype}")
        pairs = zip(reversed(weights.shape), reversed(shape or ()), strict=False)
        bad = any(have != 1 and isinstance(want, int) and have != want for have, want in pairs)
        if shape is not None and (weights.ndim > len(shape) or bad):
            have = shape_text(weights.shape)
            raise TargetError(f"weights {have} do not fit {interface.output!r} {shape_text(shape)}")
        return weights

    def default(self, argument: str, interface: Interface) -> np.ndarray:
        return np.ones(())

    def is_per_sample(self, argument: str, shape: Sequence[int], interface: Interface, count: int) -> bool:
        # Any number will do: weights need only broadcast to the output, which `read` has checked.
        return bool(shape) and interface.batch_axis == 0 and count > 1 and shape[0] == count
