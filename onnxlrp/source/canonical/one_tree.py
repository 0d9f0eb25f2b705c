"""Write a function of the leaf of one tree as a tree: `f(tree(x))` is a tree whose leaves hold `f(leaf)`.

IsolationForest looks up a leaf's depth by its number, and AdaBoost compares the largest class of a tree with each
class. Relevance would stop at these integers and comparisons, although their result is constant within each leaf of the
tree. So `LeafFunction(own, x)` replaces the last float value that one tree alone decides, or the sum of several such
values. Its value is the model's own; the leaves of the tree through which relevance goes back are computed here, once,
by the model's own nodes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from onnxlrp.graph.call import Call
from onnxlrp.graph.misses import attempt, miss
from onnxlrp.graph.provenance import is_replaced
from onnxlrp.operators.leaf_functions import as_regressor
from onnxlrp.operators.quantised import DEPLOYED
from onnxlrp.operators.registry import Kind, find
from onnxlrp.operators.trees import one_tree
from onnxlrp.source.canonical.common import Rewriter
from onnxlrp.source.canonical.evaluation import evaluate_rows
from onnxlrp.source.canonical.row_wise import repeated_rows, row_by_row, same_of_all_rows
from onnxlrp.trees.forest import Forest

_SCORES = {"TreeEnsembleRegressor": 0, "TreeEnsembleClassifier": 1, "TreeEnsemble": 0}
_ML = "ai.onnx.ml"


@dataclasses.dataclass(frozen=True)
class _Forest:
    """A sum of functions, each of the leaf of one tree."""

    x: ir.Value
    trees: tuple[tuple[Forest, np.ndarray], ...]
    """Each tree with the function's values at its leaves, [leaves, columns]."""


def rewrite(rewriter: Rewriter) -> None:
    """Put a tree in the place of every function of one tree at which relevance would stop, and a forest in the place of
    every sum of such functions."""
    trees = _trees(rewriter)
    if not trees:
        return
    rewriter.graph.sort()
    forests: dict[ir.Value, _Forest] = {}
    decided = _Decided(rewriter, trees)
    for value, scores in decided.ends():
        tree, leaves = trees[scores]
        outputs = evaluate_rows(value, {scores: leaves}, decided.repeated, rewriter.graph.opset_imports)
        x = None if (node := scores.producer()) is None else node.inputs[0]
        if outputs is not None and x is not None:
            forests[value] = _Forest(x, ((tree, outputs.reshape(len(leaves), -1)),))
    for node in list(rewriter.graph) if forests else ():
        added = [forests.get(v) for v in node.inputs if v is not None]
        if node.domain == "" and node.op_type in ("Add", "Sum") and (whole := _joined(added)) is not None:
            forests[node.outputs[0]] = whole
    for value, forest in forests.items():
        if value.is_graph_output() or any(u.node.outputs[0] not in forests for u in value.uses()):
            _stand_in(rewriter, value, forest)


def _joined(parts: Sequence[_Forest | None]) -> _Forest | None:
    """Join several forests into one; None if they read different inputs or have different columns."""
    known = [p for p in parts if p is not None]
    if len(known) < len(parts) or not known:
        return None
    same = all(_equal(p.x, known[0].x) and p.trees[0][1].shape[1] == known[0].trees[0][1].shape[1] for p in known)
    return _Forest(known[0].x, tuple(t for p in known for t in p.trees)) if same else None


def _equal(a: ir.Value, b: ir.Value) -> bool:
    """Decide whether two values are the same, or come from equal nodes with the same operands."""
    one, other = a.producer(), b.producer()
    if a is b or one is None or other is None:
        return a is b
    same = (one.domain, one.op_type, tuple(one.inputs)) == (other.domain, other.op_type, tuple(other.inputs))
    kinds = [{k: v.value for k, v in n.attributes.items()} for n in (one, other)]
    return same and a.index() == b.index() and kinds[0] == kinds[1]


def _trees(rewriter: Rewriter) -> dict[ir.Value, tuple[Forest, np.ndarray]]:
    """Find the scores of ensembles of one tree, each with the tree and the scores at its leaves, [leaves, columns]."""
    found = {}
    for node in rewriter.graph:
        if node.domain != _ML or node.op_type not in _SCORES or is_replaced(node):
            continue
        known = attempt("is no single tree", node, _single, node)
        if known is not None and len(node.outputs) > _SCORES[node.op_type]:
            found[node.outputs[_SCORES[node.op_type]]] = known
    return found


def _single(node: ir.Node) -> tuple[Forest, np.ndarray] | None:
    return one_tree(Call.of(node)) or miss("it has several trees, or scores that are more than the leaves' weights")


class _Decided:
    """The values that the leaf of a single tree decides, row by row."""

    def __init__(self, rewriter: Rewriter, trees: dict[ir.Value, tuple[Forest, np.ndarray]]) -> None:
        self.rewriter = rewriter
        self.by: dict[ir.Value, ir.Value] = {tree: tree for tree in trees}
        """For each value that a single tree decides, the scores of this tree."""
        self.stopped: set[ir.Value] = set()
        """Decided values that relevance cannot pass through on its way back to the tree."""
        self.alike: set[ir.Value] = set()
        """Values that depend only on the number of rows and are the same in each row."""
        self.repeated: dict[ir.Value, np.ndarray] = {}
        """Constants that hold the same row for each sample of a batch of fixed size, each with that row."""
        for node in rewriter.graph:
            self._visit(node)

    def _visit(self, node: ir.Node) -> None:
        inputs = [v for v in node.inputs if v is not None and not self.rewriter.is_constant(v)]
        if any(v in self.by for v in node.outputs) or not inputs:
            return
        if same_of_all_rows(node, self.alike):
            self.alike.update(node.outputs)
            return
        trees = {self.by.get(v) for v in inputs if v not in self.alike}
        if len(trees) != 1 or None in trees or not row_by_row(node, set(inputs), self.rewriter.is_constant):
            return
        stops = _stops(node) or any(v in self.stopped for v in inputs)
        self.repeated |= repeated_rows(node, set(inputs))
        for out in node.outputs:
            self.by[out] = trees.copy().pop()  # type: ignore[assignment]
            if stops:
                self.stopped.add(out)

    def ends(self) -> list[tuple[ir.Value, ir.Value]]:
        """List the float values [N] or [N, C] that relevance cannot pass through and that are outputs or have a reader
        that no single tree decides, each with its tree."""
        return [(v, t) for v, t in self.by.items() if v in self.stopped and _is_score(v) and self._is_end(v)]

    def _is_end(self, value: ir.Value) -> bool:
        return value.is_graph_output() or any(u.node.outputs[0] not in self.by for u in value.uses())


def _stops(node: ir.Node) -> bool:
    """Decide whether relevance ends at a node: it gives integers, positions, comparisons or categories."""
    entry, out = find(node), node.outputs[0].dtype
    whole = out is not None and not out.is_floating_point()
    return whole or entry is None or entry.kind is Kind.STOP or node.op_type == "LabelEncoder"


def _is_score(value: ir.Value) -> bool:
    floating = value.dtype is not None and value.dtype.is_floating_point()
    return floating and value.shape is not None and len(value.shape) in (1, 2)


def _stand_in(rewriter: Rewriter, own: ir.Value, forest: _Forest) -> None:
    """Let all readers of a value read a LeafFunction of the forest."""
    attributes = as_regressor(forest.trees)
    node = ir.Node(DEPLOYED, "LeafFunction", [own, forest.x], attributes, num_outputs=1, version=1)
    maker = own.producer()
    node.name = f"{maker.name if maker is not None else own.name}_trees"
    rewriter.stand_in(node, "own")
