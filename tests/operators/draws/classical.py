"""Tree ensembles and small models of ai.onnx.ml, drawn with numpy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
GRID = np.array([-1.5, -0.5, 0.0, 0.25, 1.0])
"""Thresholds and samples come from here, so that they often meet exactly."""
MEMBERS = np.array([0.0, 1.0, 2.0, 40.0])
"""Of sets; onnxruntime takes only whole numbers."""


@dataclasses.dataclass
class Tree:
    """A drawn node: a leaf where there is no mode."""

    rate: float
    weights: dict[int, float] = dataclasses.field(default_factory=dict)
    mode: str = ""
    feature: int = 0
    threshold: float = 0.0
    members: tuple[float, ...] = ()
    missing: bool = False
    yes: Tree | None = None
    no: Tree | None = None


@dataclasses.dataclass
class Drawing:
    """How trees are drawn."""

    features: int = 4
    depth: int = 4
    targets: Sequence[int] = (0,)
    """Those that a leaf speaks of."""
    modes: Sequence[str] = ("BRANCH_LEQ",)
    missing: bool = False
    positive: bool = False

    def tree(self, rng: np.random.Generator, depth: int | None = None) -> Tree:
        depth = self.depth if depth is None else depth
        if depth == 0 or rng.random() < 0.15:
            low = 0.05 if self.positive else -1.0
            return Tree(float(rng.integers(1, 9)), {t: float(rng.uniform(low, 1)) for t in self.targets})
        yes, no = self.tree(rng, depth - 1), self.tree(rng, depth - 1)
        mode = str(rng.choice(list(self.modes)))
        return Tree(
            yes.rate + no.rate,
            mode=mode,
            feature=int(rng.integers(self.features)),
            threshold=float(rng.choice(GRID)),
            members=tuple(rng.choice(MEMBERS, rng.integers(1, 4), replace=False)) if mode == "BRANCH_MEMBER" else (),
            missing=self.missing and bool(rng.random() < 0.5),
            yes=yes,
            no=no,
        )

    def forest(self, rng: np.random.Generator, count: int) -> list[Tree]:
        return [self.tree(rng) for _ in range(count)]


def samples(rng: np.random.Generator, count: int, features: int = 4, missing: bool = False) -> Array:
    """Half of the numbers lie on thresholds; some are missing."""
    met = rng.choice(np.concatenate([GRID, MEMBERS]), (count, features))
    x = np.where(rng.random((count, features)) < 0.6, met, rng.normal(size=(count, features)))
    return np.where(rng.random(x.shape) < 0.3, np.nan, x) if missing else x


def by_numbers(trees: Sequence[Tree], kind: str, *, hit_rates: bool = False, double: bool = False) -> dict[str, Any]:
    """The attributes of a regressor ("target") or classifier ("class"): nodes in the order of a walk."""
    columns: dict[str, list] = {
        k: [] for k in ("trees", "ids", "features", "modes", "values", "yes", "no", "nan", "hit_rates")
    }
    weights: dict[str, list] = {k: [] for k in ("treeids", "nodeids", "ids", "weights")}

    def add(tree: Tree, number: int, node: int) -> int:
        """Appends what lies below and says how many nodes that are; numbers start at any place."""
        at = len(columns["ids"])
        row = (number, node, tree.feature, tree.mode or "LEAF", tree.threshold, 0, 0, int(tree.missing), tree.rate)
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
        if tree.yes is None or tree.no is None:
            for target, weight in tree.weights.items():
                for column, value in zip(weights.values(), (number, node, target, weight), strict=True):
                    column.append(value)
            return node + 1
        columns["yes"][at] = node + 1
        columns["no"][at] = after = add(tree.yes, number, node + 1)
        return add(tree.no, number, after)

    for number, tree in enumerate(trees):
        add(tree, 3 * number + 1, 0)
    names = {
        "trees": "treeids",
        "ids": "nodeids",
        "features": "featureids",
        "modes": "modes",
        "yes": "truenodeids",
        "no": "falsenodeids",
    }
    found = {f"nodes_{names[k]}": columns[k] for k in names}
    found["nodes_missing_value_tracks_true"] = columns["nan"]
    found |= {f"{kind}_{k}": v for k, v in weights.items() if k != "weights"}
    numbers = {"nodes_values": columns["values"], f"{kind}_weights": weights["weights"]}
    if hit_rates:
        numbers["nodes_hitrates"] = columns["hit_rates"]
    for name, value in numbers.items():
        found[f"{name}_as_tensor" if double else name] = numpy_helper.from_array(np.array(value)) if double else value
    return found


def by_tables(
    trees: Sequence[Tree], targets: int, *, hit_rates: bool = False, floating: type = np.float32
) -> dict[str, Any]:
    """The attributes of `TreeEnsemble`; every tree's root must compare."""
    nodes: list[Tree] = []
    leaves: list[Tree] = []

    def collect(tree: Tree) -> None:
        (nodes if tree.mode else leaves).append(tree)
        for side in (tree.yes, tree.no):
            if side is not None:
                collect(side)

    for tree in trees:
        collect(tree)
    place = {id(t): i for group in (nodes, leaves) for i, t in enumerate(group)}
    found: dict[str, Any] = {
        "n_targets": targets,
        "tree_roots": [place[id(t)] for t in trees],
        "nodes_featureids": [t.feature for t in nodes],
        "nodes_missing_value_tracks_true": [int(t.missing) for t in nodes],
        "leaf_targetids": [next(iter(t.weights)) for t in leaves],
    }
    for name, side in (("true", "yes"), ("false", "no")):
        found[f"nodes_{name}nodeids"] = [place[id(getattr(t, side))] for t in nodes]
        found[f"nodes_{name}leafs"] = [int(not getattr(t, side).mode) for t in nodes]
    modes = np.array([(*MODES, "BRANCH_MEMBER").index(t.mode) for t in nodes], np.uint8)
    tensors = {
        "nodes_modes": modes,
        "nodes_splits": np.array([t.threshold for t in nodes], floating),
        "leaf_weights": np.array([next(iter(t.weights.values())) for t in leaves], floating),
    }
    sets = [v for t in nodes if t.mode == "BRANCH_MEMBER" for v in (*t.members, np.nan)]
    if sets:
        tensors["membership_values"] = np.array(sets, floating)
    if hit_rates:
        tensors["nodes_hitrates"] = np.array([t.rate for t in nodes], floating)
    return found | {name: numpy_helper.from_array(value, name) for name, value in tensors.items()}


def node(op: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    """A node of ai.onnx.ml."""
    return helper.make_node(op, inputs, outputs, name=op.lower(), domain="ai.onnx.ml", **attributes)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[int | str]]],
    outputs: Mapping[str, int],
    initializers: Mapping[str, Array] | None = None,
    version: int = 3,
) -> onnx.ModelProto:
    """A graph of such nodes; outputs are declared without a shape."""
    graph = helper.make_graph(
        nodes,
        "classical",
        [helper.make_tensor_value_info(name, kind, dims) for name, (kind, dims) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
        [numpy_helper.from_array(v, k) for k, v in (initializers or {}).items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", version)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def single(op: str, width: int = 4, label: int = 0, kind: int = TensorProto.FLOAT, version: int = 3, **attributes: Any):
    """A model of one node of `x`, with scores `y`, behind a label where its type is given."""
    made = node(op, ["x"], ["label", "y"] if label else ["y"], **attributes)
    out = TensorProto.DOUBLE if op == "TreeEnsemble" and kind == TensorProto.DOUBLE else TensorProto.FLOAT
    outputs = {"label": label, "y": out} if label else {"y": out}
    return model([made], {"x": (kind, ["N", width])}, outputs, version=version)
