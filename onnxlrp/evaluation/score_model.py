"""The model that is perturbed: the source's own forward graph, with the explained score as an output."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from onnxlrp.errors import InputError
from onnxlrp.explained import Explained
from onnxlrp.interface import Interface
from onnxlrp.runtime import providers as sessions


@dataclasses.dataclass(frozen=True, eq=False)
class ScoreModel:
    """A session that computes the explained score, without any relevance.

    The explained score is the output, or the margin upstream of it if a final softmax, sigmoid or the like is skipped.
    """

    proto: onnx.ModelProto
    """The model without what onnxlrp added to it; the score is its only output."""
    name: str
    """Name of the score."""
    batch_axis: int
    """Axis of the score that counts samples."""
    session: Any

    @classmethod
    def of(cls, explained: Explained, providers: Sequence[Any] | None) -> ScoreModel:
        """Take the forward graph out of an explained model.

        Raises InputError past 2 GB, and for a model that explains a single sample without a batch axis.
        """
        axis = explained.interface.batch_axis
        if axis is None:
            raise InputError("the model explains one sample that has no batch axis, so that no samples can be compared")
        name = str(explained.plan.graph.nodes["score"]["value"])
        proto = without_relevance(explained.to_proto(), explained.interface, name)
        session = sessions.create_session(proto.SerializeToString(), providers)
        return cls(proto, name, axis, session)

    def scores(self, feeds: Mapping[str, Any]) -> np.ndarray:
        """Compute all scores of a batch, float64 [N, scores]."""
        value = self._run(feeds)
        return value.reshape(len(value), -1)

    def shape(self, feeds: Mapping[str, Any]) -> tuple[int, ...]:
        """Find the shape of one sample's scores."""
        return self._run(feeds).shape[1:]

    def _run(self, feeds: Mapping[str, Any]) -> np.ndarray:
        value = np.asarray(sessions.run(self.session, [self.name], dict(feeds))[self.name], dtype=np.float64)
        return np.moveaxis(value, self.batch_axis, 0)


def without_relevance(proto: onnx.ModelProto, interface: Interface, score: str) -> onnx.ModelProto:
    """Take everything away from an explained model that the score does not need, and make the score its only output."""
    kept = onnx.ModelProto()
    kept.CopyFrom(proto)
    graph = kept.graph
    declared = _declared(graph, interface.output, score)
    needed = {score}
    nodes = list(_needed_nodes(graph.node, needed))
    added = set(interface.names_of_added_inputs)
    _replace(graph.output, [declared])
    _replace(graph.input, [value for value in graph.input if value.name not in added])
    _replace(graph.node, nodes[::-1])
    _replace(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in needed])
    _replace(kept.metadata_props, [entry for entry in kept.metadata_props if not entry.key.startswith("onnxlrp.")])
    return kept


def _declared(graph: onnx.GraphProto, output: str, score: str) -> onnx.ValueInfoProto:
    """Declare the score: as the file does, else like the explained output, whose layout it has."""
    declared = onnx.helper.make_empty_tensor_value_info(score)
    values = {value.name: value for value in (*graph.output, *graph.value_info)}
    for name in (output, score):
        if name in values and values[name].type.HasField("tensor_type"):
            declared.CopyFrom(values[name])
    declared.name = score
    return declared


def _needed_nodes(nodes: Sequence[onnx.NodeProto], needed: set[str]) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that compute what is needed, the last first; `needed` grows by all that they read."""
    for node in reversed(nodes):
        if needed.intersection(node.output):
            needed.update(_reads(node))
            yield node


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    """Yield the names that a node reads, in its bodies too."""
    yield from node.input
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            yield from (value.name for value in body.output)
            for inner in body.node:
                yield from _reads(inner)


def _replace(field: Any, values: Sequence[Any]) -> None:
    copies = list(values)
    del field[:]
    field.extend(copies)
