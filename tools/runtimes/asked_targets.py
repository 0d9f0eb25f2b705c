"""Targets that an explained file is fed with in one call after another: class 1, class 2, the predicted class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from onnxlrp.interface import Interface
from onnxlrp.targets.kind import PREDICTED


def targets(face: Interface, model: onnx.ModelProto, counts: Sequence[int]) -> list[Mapping[str, np.ndarray]]:
    """Make the feeds of every added input for calls of so many samples each, one target for each sample.

    The first sample asks for class 1, then class 2, and from the third call on all ask for the predicted class.
    """
    shapes = {value.name: value.type.tensor_type.shape.dim for value in model.graph.input}
    found = []
    for call, count in enumerate(counts):
        asked = [PREDICTED if call > 1 else 1 + (call + sample) % 2 for sample in range(count)]
        found.append(_feeds(face, shapes, asked))
    return found


def _feeds(face: Interface, shapes: Mapping[str, Any], asked: list[int]) -> dict[str, np.ndarray]:
    feeds = {}
    for argument, name in face.added_inputs.items():
        declared = [dim.dim_value for dim in shapes[name]]
        if argument == "weights":
            feeds[name] = np.full([1] * len(declared), float(abs(asked[0])), np.float32)
        else:
            rows = np.array([_row(face, argument, one) for one in asked], np.int64)
            first = declared[0] or len(asked)
            feeds[name] = np.array(np.broadcast_to(_spread(rows, len(declared))[:first], [first, *declared[1:]]))
    for name in face.reference_inputs.values():
        feeds[name] = np.zeros([dim.dim_value or 1 for dim in shapes[name]], np.float32)
    return feeds


def _row(face: Interface, argument: str, asked: int) -> list[int]:
    """Write one sample's target; a class or an index past the end is the last one."""
    sizes = [size if isinstance(size, int) else None for size in face.output_shape or ()]
    if face.target == "element":
        limits = sizes[face.batch_axis is not None :]
    elif face.target == "token":
        limits = [sizes[-1] if sizes and argument == "target" else None]
    elif face.class_axis is None:
        limits = [1]
    else:
        limits = [sizes[face.class_axis] if face.class_axis < len(sizes) else None]
    return [asked if size is None or asked < 0 else min(asked, size - 1) for size in limits]


def _spread(rows: np.ndarray, rank: int) -> np.ndarray:
    """Bring [samples, indices] to the rank of an input: [samples], or axes of size 1 in the middle."""
    return rows.reshape(len(rows), *[1] * (rank - rows.ndim), rows.shape[1]) if rank > 1 else rows[:, 0]
