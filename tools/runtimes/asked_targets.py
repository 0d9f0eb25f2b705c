"""Targets that an explained file is fed with in one call after another: class 1, class 2, the predicted class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from onnxlrp.interface import Interface


def targets(face: Interface, model: onnx.ModelProto) -> list[Mapping[str, np.ndarray]]:
    """Make the feeds of every added input for three calls; none if the file has no such inputs."""
    ranks = {value.name: value.type.tensor_type.shape.dim for value in model.graph.input}
    sizes = [size if isinstance(size, int) else None for size in face.output_shape or ()]
    return [_feeds(face, ranks, sizes, asked) for asked in (1, 2, -1)]


def _feeds(face: Interface, shapes: Mapping, sizes: list[int | None], asked: int) -> dict[str, np.ndarray]:
    feeds = {}
    for argument, name in face.added_inputs.items():
        declared = [dim.dim_value for dim in shapes[name]]
        if argument == "weights":
            feeds[name] = np.full([1] * len(declared), float(asked), np.float32)
        elif face.target == "element":
            limits = sizes[face.batch_axis is not None :]
            feeds[name] = _broadcast([_inside(asked, size) for size in limits], declared)
        else:
            size = _classes(face, sizes) if argument == "target" else 3
            feeds[name] = _broadcast(_inside(asked, size), declared)
    for name in face.reference_inputs.values():
        feeds[name] = np.zeros([dim.dim_value or 1 for dim in shapes[name]], np.float32)
    return feeds


def _classes(face: Interface, sizes: list[int | None]) -> int | None:
    """Count the classes; 1 where there is one score a sample, None if the file does not say it."""
    if face.target == "token":
        return sizes[-1] if sizes else None
    if face.class_axis is None:
        return 1
    return sizes[face.class_axis] if face.class_axis < len(sizes) else None


def _inside(asked: int, size: int | None) -> int:
    """Keep an index below a size; -1 stays."""
    return asked if size is None or asked < 0 else min(asked, size - 1)


def _broadcast(index: int | list[int], declared: list[int]) -> np.ndarray:
    """Write an index in the declared shape, for all samples alike."""
    return np.array(np.broadcast_to(np.array(index, np.int64), [size or 1 for size in declared]))
