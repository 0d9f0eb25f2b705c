"""Decide which inner value a class activation map is made of, and how the map lies on the inputs."""

from __future__ import annotations

from collections.abc import Mapping

import onnx_ir as ir

from onnxlrp.analysis.facts import Facts
from onnxlrp.composites import Composite
from onnxlrp.errors import InputError
from onnxlrp.graph.walks import read_by, upstream
from onnxlrp.plan.inner_values import named_value
from onnxlrp.plan.steps import ActivationMap
from onnxlrp.plan.traced_axes import trace_axes
from onnxlrp.printable import listed
from onnxlrp.source.question import Question


def decide_map(
    graph: ir.Graph,
    facts: Facts,
    question: Question,
    composite: Composite,
    absorbed: Mapping[str, str],
) -> ActivationMap | None:
    """Find the value of the composite's map; None where the composite makes none.

    `absorbed` says where values of the source went that are gone, by name.

    Raises InputError where no value has the name, or the score does not depend on it, or its axes cannot be followed to
    the inputs.
    """
    if composite.map_weights is None:
        return None
    path = {v for node in upstream([question.score], read_by) for v in node.outputs} - {question.score}
    name = composite.map_layer
    value = _last_convolution(graph, facts, path, composite) if name is None else named_value(graph, name, absorbed)
    if value not in path or value not in facts.leads_to_input:
        raise InputError(f"{composite}: {value.name!r} does not lie between an explained input and the score")
    found = {v: traced for v in question.inputs if (traced := trace_axes(value, v)) is not None}
    lost = [v for v in question.inputs if v not in found]
    if lost and (question.by_name or not found):
        raise InputError(
            f"{composite}: the axes of {value.name!r} cannot be followed to those of {listed(v.name for v in lost)} "
            "through convolutions, pools and elementwise steps, so that the map has no place there; name another value "
            "by layer="
        )
    return ActivationMap(value, composite.map_weights == "element", found)


def map_note(wanted: ActivationMap) -> str:
    """Say in a sentence for the plan how a map is computed."""
    weights = "max(0, gradient) of each element" if wanted.by_element else "the mean of the gradient over a channel"
    return (
        f"the map is max(0, the sum over the channels of {wanted.value.name!r}, weighted by {weights}), enlarged by "
        "linear interpolation; every channel of the input holds it"
    )


def _last_convolution(graph: ir.Graph, facts: Facts, path: set[ir.Value], composite: Composite) -> ir.Value:
    """Find the output of the last convolution over two axes; one whose map has a single place does not count."""
    found = [
        (facts.order[node], layer.z)
        for node, layer in facts.layers.items()
        if node.graph is graph and layer.spatial == 2 and layer.z in path and not _is_single(layer.z)
    ]
    if not found:
        raise InputError(
            f"{composite}: no convolution over two axes lies upstream of the score; name an inner value by layer="
        )
    return max(found, key=lambda pair: pair[0])[1]


def _is_single(value: ir.Value) -> bool:
    return value.shape is not None and all(d == 1 for d in value.shape[2:])
