"""Scale of the pixels that a model takes, as far as its first steps say it.

A model that subtracts a mean of 127 takes pixels of 0 to 255, one that subtracts 0.485 takes pixels of 0 to 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import numpy_helper

_PASSED = {"Cast", "Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Dropout"}
_MOST_STEPS = 12
_LARGEST = 4096
"""Number of elements up to which a constant may be a mean or a scale; one number a channel is usual."""
_LOWEST_OF_IMAGENET = (-2.118, -2.036, -1.804)
"""Value of a black pixel under ImageNet's mean and deviation, in red, green and blue."""


@dataclasses.dataclass(frozen=True)
class PixelScale:
    """Scale of the pixels, and the reason for it."""

    name: str
    """One of `files.PREPROCESS`."""
    why: str
    """The step of the model that says so, in words."""


def of_input(graph: onnx.GraphProto, name: str) -> PixelScale | None:
    """Read the scale of the pixels of a floating-point input off the steps that only it and constants go into; None if
    they do not tell."""
    constants = _Constants(graph)
    gain, shift = np.ones(1), np.zeros(1)
    steps: list[onnx.NodeProto] = []
    for _ in range(_MOST_STEPS):
        readers = [node for node in graph.node if name in node.input and not _is_aside(node)]
        if len(readers) != 1 or readers[0].domain not in ("", "ai.onnx"):
            break
        node = readers[0]
        if node.op_type == "QuantizeLinear" and not steps:
            return _of_quantisation(node, constants)
        change = (1.0, 0.0) if node.op_type in _PASSED else _affine(node, name, constants)
        if change is None:
            break
        if node.op_type not in _PASSED:
            steps.append(node)
        factor, summand = np.ravel(change[0]), np.ravel(change[1])
        if len({factor.size, summand.size, gain.size, 1}) > 2:
            break
        gain, shift, name = gain * factor, shift * factor + summand, node.output[0]
        if node.op_type == "BatchNormalization":
            break
    return _of_affine(gain, shift, steps) if steps else None


def _is_aside(node: onnx.NodeProto) -> bool:
    """Decide whether a reader of a value is no step of the model's own: a question for its shape, or relevance."""
    return node.op_type == "Shape" or any(entry.key.startswith("onnxlrp.") for entry in node.metadata_props)


class _Constants:
    """Constants of a graph by name, read when they are asked for; large ones and those in other files are left out."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
                self._tensors[node.output[0]] = node.attribute[0].t

    def kind(self, name: str) -> int | None:
        """Element type of a constant, as ONNX numbers them; None if there is none of this name."""
        return self._tensors[name].data_type if name in self._tensors else None

    def read(self, name: str) -> np.ndarray | None:
        """Read a constant; None if there is none of this name, or if it is not read."""
        tensor = self._tensors.get(name)
        if tensor is None or tensor.data_location == onnx.TensorProto.EXTERNAL:
            return None
        if np.prod([float(size) for size in tensor.dims]) > _LARGEST:
            return None
        try:
            return numpy_helper.to_array(tensor).astype(np.float64)
        except (TypeError, ValueError):
            return None


def _affine(
    node: onnx.NodeProto, name: str, constants: _Constants
) -> tuple[np.ndarray | float, np.ndarray | float] | None:
    """Read a step as factor and summand of its input, one number or one a channel; None if it is none."""
    if node.op_type == "BatchNormalization" and len(node.input) >= 5:
        parts = [constants.read(one) for one in node.input[1:5]]
        if any(part is None for part in parts):
            return None
        scale, bias, mean, variance = (np.asarray(part) for part in parts)
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        if (mean == 0).all() and (variance == 1).all():
            return scale / np.sqrt(variance + epsilon), bias
        # The statistics tell what pixels a layer was trained on; its learned scale and bias tell nothing of them.
        return 1 / np.sqrt(variance + epsilon), -mean / np.sqrt(variance + epsilon)
    if node.op_type not in ("Add", "Sub", "Mul", "Div") or len(node.input) != 2:
        return None
    first = node.input[0] == name
    value = constants.read(node.input[1] if first else node.input[0])
    if value is None or value.size == 0 or (node.op_type == "Div" and (not first or (value == 0).any())):
        return None
    if node.op_type == "Add":
        return 1.0, value
    if node.op_type == "Sub":
        return (1.0, -value) if first else (-1.0, value)
    return (value if node.op_type == "Mul" else 1 / value), 0.0


def _of_affine(gain: np.ndarray, shift: np.ndarray, steps: Sequence[onnx.NodeProto]) -> PixelScale | None:
    """Decide on the scale from the value that the first steps map to 0, and the distance that they map to 1."""
    if not (np.isfinite(gain).all() and np.isfinite(shift).all() and (gain > 0).all()):
        return None
    zeros = -shift / gain
    mean, spread = float(np.mean(zeros)), float(np.mean(1 / gain))
    words = f"the model itself subtracts {mean:.4g} and divides by {spread:.4g}, at {_names(steps)}"
    if mean > 40 or (spread > 40 and mean > -1):
        return PixelScale("raw", words)
    if zeros.size == 3 and np.allclose(zeros, _LOWEST_OF_IMAGENET, atol=0.05):
        return PixelScale("imagenet", words)
    if abs(mean + 1) <= 0.15 and (_is_byte(spread / 2) or abs(spread - 2) <= 0.1):
        return PixelScale("signed", words)
    # No numbers of 0 to 1 vary more than those that are either 0 or 1.
    possible = steps[-1].op_type != "BatchNormalization" or spread**2 <= mean * (1 - mean)
    if (_is_byte(spread) and -0.1 <= mean <= 0.8) or (0.2 <= mean <= 0.8 and spread <= 0.6 and possible):
        return PixelScale("unit", words)
    return None


def _is_byte(spread: float) -> bool:
    """Decide whether a distance is one of 255 steps from 0 to 1, or nearly so."""
    return 1 / 300 <= spread <= 1 / 200


def _of_quantisation(node: onnx.NodeProto, constants: _Constants) -> PixelScale | None:
    """Decide on the scale from the range of values that a quantised input can hold."""
    scale, zero = constants.read(node.input[1]), np.zeros(1)
    signed = False
    if len(node.input) > 2 and node.input[2]:
        read, kind = constants.read(node.input[2]), constants.kind(node.input[2])
        if read is None or kind not in (onnx.TensorProto.UINT8, onnx.TensorProto.INT8):
            return None
        zero, signed = read, kind == onnx.TensorProto.INT8
    if scale is None or scale.size != 1:
        return None
    least, most = (-128, 127) if signed else (0, 255)
    low, high = ((end - float(zero.ravel()[0])) * float(scale.ravel()[0]) for end in (least, most))
    words = f"{_names([node])} takes values of {low:.4g} to {high:.4g}"
    for name, (lowest, highest) in _RANGES.items():
        if abs(low - lowest) <= 0.15 * (highest - lowest) and abs(high - highest) <= 0.15 * (highest - lowest):
            return PixelScale(name, words)
    return None


_RANGES = {"raw": (0.0, 255.0), "unit": (0.0, 1.0), "signed": (-1.0, 1.0), "imagenet": (-2.1, 2.6)}
"""Lowest and highest value of a picture's pixels under each preprocessing."""


def _names(steps: Sequence[onnx.NodeProto]) -> str:
    return " and ".join(f"{node.op_type} {node.name or node.output[0]!r:.60}" for node in steps[:2])
