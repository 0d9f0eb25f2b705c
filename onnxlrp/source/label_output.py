"""Find the label output of a classifier. If a model has such an output, the class that it names is explained by
default.

The label is not always the largest score: scikit-learn's SVC lets pairs of classes vote, and its probabilities come
from another computation.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call, content
from onnxlrp.graph.walks import follow, follow_operators, read_by, upstream
from onnxlrp.operators.registry import find

_MOVES_LABELS = frozenset({"Cast", "Identity", "Squeeze", "Unsqueeze", "Reshape", "Flatten"})
_CLASS_LABELS = ("classlabels_strings", "classlabels_ints", "classlabels_int64s")


@dataclasses.dataclass(frozen=True)
class Label:
    """An output that names a class of another output."""

    value: ir.Value
    classes: tuple[int, ...] | tuple[str, ...]
    """The labels of the classes, in the order of the scores."""


def label_output_of(graph: ir.Graph, scores: ir.Value, count: int | None) -> Label | None:
    """Find the label output that belongs to an output of scores; None if there is none, or if it is the arg max of the
    scores.

    `count` is the number of classes of the scores; if it is None, because it varies, no label is looked for.
    """
    for output in graph.outputs:
        if output is scores or output.dtype not in (ir.DataType.INT64, ir.DataType.INT32, ir.DataType.STRING):
            continue
        if output.shape is None or any(d != 1 for d in output.shape[1:]):
            continue
        node = _source(output)
        classes = None if node is None else _classes(node, scores, count, graph)
        if classes is not None and len(classes) == count:
            return Label(output, classes)
    return None


def order_note(graph: ir.Graph, scores: ir.Value, name: str) -> str | None:
    """Write a note for the plan if the scores of two classes need not be in the order of the labels."""
    for output in graph.outputs:
        node = None if output is scores else _source(output)
        if node is not None and _answers_with_a_sign(node) and node.outputs[0].dtype == output.dtype:
            return (
                f"the two scores of {name!r} are a decision value and its negative, and need not stand in the order of "
                f"the labels: onnxruntime's first score is positive where {output.name!r} is the second label. The "
                "larger score is explained by default; `target` counts the scores, not the labels"
            )
    return None


def _source(label: ir.Value) -> ir.Node | None:
    """Find the node that computes a label, upstream of those that only move it."""
    return follow_operators(label, _MOVES_LABELS).producer()


def _classes(
    node: ir.Node, scores: ir.Value, count: int | None, graph: ir.Graph
) -> tuple[int, ...] | tuple[str, ...] | None:
    """Find the classes of the node that computes a label, if the label belongs to the scores; else None.

    A label belongs to scores that are computed from the same values. A label with names also belongs to the scores if
    no other output holds one number for each class.
    """
    call = Call.of(node)
    if node.domain == "" and node.op_type == "Gather":
        names, chosen = content(call.input(0)), None if call.input(1) is None else _source(call.operand(1))
        if names is None or chosen is None or not _compares_others(chosen, scores):
            return None
        return _labels(names.reshape(-1)) if _only_scores(graph, scores, count) else None
    if node.op_type == "ArgMax" and node.domain == "":
        maker = call.operand(0).producer()
        related = maker is not None and maker in upstream([scores], read_by)
        return tuple(range(count or 0)) if related and _compares_others(node, scores) else None
    names = next((call.attr(name) for name in _CLASS_LABELS if name in node.attributes), None)
    if names is None or node not in upstream([scores], read_by) or _answers_with_a_sign(node):
        return None
    return _labels(np.asarray(names))


def _answers_with_a_sign(node: ir.Node) -> bool:
    """Decide whether a node compares two classes by the sign of one decision value, as a support vector machine without
    probabilities does. The order of onnxruntime's two scores then differs from the order of the labels, and the larger
    score is explained."""
    pairs = node.op_type == "SVMClassifier" and "prob_a" not in node.attributes
    return pairs and len(Call.of(node).ints("vectors_per_class", ())) == 2


def _labels(names: np.ndarray) -> tuple[int, ...] | tuple[str, ...]:
    if names.dtype.kind in "iu":
        return tuple(int(n) for n in names)
    return tuple(n.decode() if isinstance(n, bytes) else str(n) for n in names)


def _only_scores(graph: ir.Graph, scores: ir.Value, count: int | None) -> bool:
    """Decide whether no output other than the scores holds a number for each of `count` classes."""
    others = [v for v in graph.outputs if v is not scores and v.dtype is not None and v.dtype.is_floating_point()]
    return not any(v.shape is not None and len(v.shape) > 1 and v.shape[1] == count for v in others)


def _compares_others(node: ir.Node, scores: ir.Value) -> bool:
    """Decide whether the largest of the values that an ArgMax compares need not be the largest score."""
    if (node.domain, node.op_type) != ("", "ArgMax") or node.inputs[0] is None:
        return False
    return _ordered_like(node.inputs[0]) is not _ordered_like(scores)


def _ordered_like(value: ir.Value) -> ir.Value:
    """Find the value furthest upstream whose largest element is at the same place: a softmax keeps the order."""

    def moved(node: ir.Node) -> ir.Value | None:
        entry = find(node)
        moves = node.domain == "" and node.op_type in _MOVES_LABELS
        keeps = entry is not None and (entry.head in ("squash", "rescale") or moves)
        return node.inputs[0] if keeps and node.inputs else None

    return follow(value, moved)
