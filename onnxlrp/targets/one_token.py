"""`target="token"`: one class at one position of a sequence, by default the predicted one at the last position."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from onnxlrp.errors import TargetError
from onnxlrp.interface import Interface
from onnxlrp.targets.given import check_range
from onnxlrp.targets.kind import PREDICTED, Axes, Given, Resolved, Seed, sizes
from onnxlrp.targets.one_class import ClassTarget

if TYPE_CHECKING:
    from onnxlrp.targets.seeder import Seeder


class TokenTarget(ClassTarget):
    """Scores [N, T, V]: T positions, V classes."""

    name = "token"
    explains = "a token's class"
    arguments = ("target", "position")
    follows_label = False

    def layout(self, score: ir.Value, inputs: Sequence[ir.Value], name: str) -> Axes:
        rank = len(sizes(score, name))
        if rank != 3:
            other = "class" if rank < 3 else "weights"
            raise TargetError(
                f'target="token" needs scores of rank 3 [N, T, V]; {name!r} has rank {rank}: use target="{other}"'
            )
        return Axes(0, 2)

    def seed(self, seeder: Seeder, axes: Axes) -> Seed:
        op, score = seeder.op, seeder.score
        tokens = op.Sub(op.dim(score, 1), op.ints([1]))
        place = op.Expand(tokens, op.dim(score, 0))
        if seeder.options.has_input:
            position = seeder.index("position", "position")
            asked = op.Where(op.Equal(position, op.ints_scalar(PREDICTED)), tokens, position)
            place = op.Expand(asked, op.dim(score, 0))
        place = op.Unsqueeze(place, op.ints([1]))
        inside = op.Max(op.Min(place, tokens), op.ints_scalar(0))
        scores = op.GatherND(seeder.visible, inside, batch_dims=1)
        index, onehot = seeder.classes(scores)
        there = op.Unsqueeze(op.one_hot(place, op.dim(score, 1), seeder.dtype), op.ints([2]))
        if seeder.options.targets > 1:
            # [N, 1, T, 1] · [N, K, 1, V]
            all_there, onehot = op.Unsqueeze(there, op.ints([1])), op.Unsqueeze(onehot, op.ints([2]))
            return Seed(seeder.shaped(op.Mul(all_there, onehot)))
        tensor = seeder.shaped(op.Mul(there, op.Unsqueeze(onehot, op.ints([1]))))
        choice = seeder.within(scores, index)
        exists = op.And(choice.exists, op.Equal(place, inside))
        return Seed(tensor, dataclasses.replace(choice, exists=exists, position=inside))

    def _rows(self, scores: np.ndarray, samples: int, inner: int, count: int) -> np.ndarray:
        return scores.reshape(samples, inner, count)

    def _resolve(self, given: Given, scores: np.ndarray, label: Any, interface: Interface) -> Resolved:
        """The classes of [N, T, V] at the positions that were asked for; of ZipMap's [N, V] as they are."""
        if scores.ndim < 3:
            return super()._resolve(given, scores, label, interface)
        samples, length = scores.shape[:2]
        position = given.get("position", np.array([PREDICTED]))
        check_range(position, length, "position", ("position", "positions"), interface.output)
        places = np.broadcast_to(np.where(position == PREDICTED, length - 1, position), (samples,))
        found = super()._resolve(given, scores[np.arange(samples), places], label, interface)
        return dataclasses.replace(found, position=places)

    def is_one_score(self, interface: Interface) -> bool:
        return False
