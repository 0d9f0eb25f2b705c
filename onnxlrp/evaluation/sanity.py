"""Sanity: change of an explanation as the weights are randomised, layer by layer from the top.

An explanation that stays the same, as an edge detector does, cannot depend on what the model has learned (Adebayo et
al. 2018).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from onnxlrp.errors import OnnxLrpError
from onnxlrp.evaluation.explanation_methods import ExplanationMethod
from onnxlrp.evaluation.leave_one_out import rank_correlation
from onnxlrp.evaluation.units import Units

STAGES = 5
"""Most depths down to which weights are randomised."""
UNCHANGED = 0.8
"""Rank correlation with the original above which an explanation by random weights counts as the same."""
_KINDS = "fiu"


@dataclasses.dataclass(frozen=True)
class Sanity:
    """Similarity of an explanation to itself as weights are randomised from the top."""

    layers: tuple[int, ...]
    """Number of randomised layers at each stage, counted from the score."""
    similarity: tuple[float, ...]
    """Mean absolute rank correlation of the units' relevance with the original at each stage; a stage whose model or
    explanation fails, or is constant, counts as 0."""
    depends_on_weights: bool
    """False if the explanation stays the same although all weights are random."""


def sanity(
    method: ExplanationMethod, relevance: np.ndarray, proto: onnx.ModelProto, units: Units, seed: int
) -> Sanity | None:
    """Explain by models with more and more random weights; None if the model has no weights to randomise."""
    layers, similarity = [], []
    for count, changed in randomised(proto, seed):
        layers.append(count)
        similarity.append(_similarity(method, relevance, changed, units))
    if not layers:
        return None
    return Sanity(tuple(layers), tuple(similarity), similarity[-1] < UNCHANGED)


def randomised(proto: onnx.ModelProto, seed: int) -> Iterator[tuple[int, onnx.ModelProto]]:
    """Yield models whose topmost layers have their weights shuffled, with the number of these layers, the fewest first.

    A layer is a node with constant weights of two or more axes. Its numbers stay the same, and their order is random.
    """
    layers = list(_weights_from_the_top(proto.graph))
    random = np.random.default_rng(seed)
    tensors = {tensor.name: index for index, tensor in enumerate(proto.graph.initializer)}
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    stages = set(np.linspace(1, len(layers), min(STAGES, len(layers))).round().astype(int).tolist())
    for index, names in enumerate(layers, 1):
        for name in names:
            tensor = changed.graph.initializer[tensors[name]]
            values = numpy_helper.to_array(tensor)
            shuffled = random.permutation(values.ravel()).reshape(values.shape)
            tensor.CopyFrom(numpy_helper.from_array(shuffled, name))
        if index in stages:
            yield index, changed


def _weights_from_the_top(graph: onnx.GraphProto) -> Iterator[list[str]]:
    """Yield the weights of each layer, the layer nearest to the score first; each weight once."""
    weights = {t.name for t in graph.initializer if len(t.dims) >= 2 and _is_number(t)}
    for node in reversed(graph.node):
        names = [name for name in dict.fromkeys(node.input) if name in weights]
        weights.difference_update(names)
        if names:
            yield names


def _is_number(tensor: onnx.TensorProto) -> bool:
    kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return kind.kind in _KINDS and kind != np.int64


def _similarity(method: ExplanationMethod, relevance: np.ndarray, proto: onnx.ModelProto, units: Units) -> float:
    try:
        moved = units.sums(method.explain(proto=proto))
    except OnnxLrpError:
        return 0.0
    return float(np.abs(np.nan_to_num(rank_correlation(relevance, moved, units.present))).mean())
