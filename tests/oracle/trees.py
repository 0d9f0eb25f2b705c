"""Tree ensembles one sample, one tree and one comparison at a time, straight from a node's attributes, in float64.

Nothing here is shared with the package: Shapley values are sums over all subsets of features, of the tree's mean given
the subset, by recursion; for MIN, MAX and `game="path"` a walk down the tree notes how the mean changes at each
comparison.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.oracle.threshold_grid import COMPARE, shares

Array = np.ndarray
MANY = 6
"""Most features whose subsets are all tried."""


@dataclasses.dataclass(eq=False)
class Leaf:
    """What a leaf adds, by target."""

    weights: dict[int, float]
    rate: float | None = None


@dataclasses.dataclass(eq=False)
class Branch:
    """A comparison and what follows."""

    mode: str
    feature: int
    threshold: Any
    missing: bool
    rate: float | None
    yes: Branch | Leaf | None = None
    no: Branch | Leaf | None = None
    share: float = 0.5
    """The true side's, where rates do not tell."""

    def next(self, x: Array) -> Branch | Leaf | None:
        value = x[self.feature]
        passes = COMPARE[self.mode](value, self.threshold) or (self.missing and math.isnan(value))
        return self.yes if passes else self.no


@dataclasses.dataclass
class Explained:
    """Of every sample: [samples, targets] sums, and [samples, features, targets] what the features did."""

    sums: Array
    parts: Array
    base: Array
    """[samples, targets]: the mean over all leaves (of the winning tree, where one wins)."""


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """By name, texts as texts and tensors as arrays."""
    found = {}
    for attribute in node.attribute:
        value = helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            value = numpy_helper.to_array(value)
        elif isinstance(value, bytes):
            value = value.decode()
        elif attribute.type == onnx.AttributeProto.STRINGS:
            value = [v.decode() for v in value]
        found[attribute.name.removesuffix("_as_tensor")] = value
    return found


def trees(node: onnx.NodeProto) -> list[Branch | Leaf]:
    """The roots."""
    a = attributes(node)
    roots = _by_tables(a) if node.op_type == "TreeEnsemble" else _by_numbers(a)
    for branch, share in shares(roots).items():
        branch.share = share
    return roots


def _informative(hit_rates: Any) -> bool:
    return hit_rates is not None and len(set(np.asarray(hit_rates).tolist())) > 1


def _by_numbers(a: Mapping[str, Any]) -> list[Branch | Leaf]:
    kind = "class" if "class_ids" in a else "target"
    weights: dict[tuple[int, int], dict[int, float]] = {}
    for place in zip(*(a[f"{kind}_{k}"] for k in ("treeids", "nodeids", "ids", "weights")), strict=True):
        leaf = weights.setdefault(place[:2], {})
        leaf[place[2]] = leaf.get(place[2], 0.0) + float(place[3])
    hit_rates = a.get("nodes_hitrates")
    made: dict[tuple[int, int], Branch | Leaf] = {}
    roots: dict[int, Branch | Leaf] = {}
    for i, key in enumerate(zip(a["nodes_treeids"], a["nodes_nodeids"], strict=True)):
        rate = float(hit_rates[i]) if _informative(hit_rates) else None
        if a["nodes_modes"][i] == "LEAF":
            made[key] = Leaf(weights.get(key, {}), rate)
        else:
            tracks = a.get("nodes_missing_value_tracks_true") or [0] * len(a["nodes_modes"])
            made[key] = Branch(
                a["nodes_modes"][i], a["nodes_featureids"][i], float(a["nodes_values"][i]), bool(tracks[i]), rate
            )
        roots.setdefault(key[0], made[key])
    for i, (tree, number) in enumerate(zip(a["nodes_treeids"], a["nodes_nodeids"], strict=True)):
        branch = made[tree, number]
        if isinstance(branch, Branch):
            branch.yes, branch.no = made[tree, a["nodes_truenodeids"][i]], made[tree, a["nodes_falsenodeids"][i]]
    return list(roots.values())


def _by_tables(a: Mapping[str, Any]) -> list[Branch | Leaf]:
    modes = list(COMPARE)
    leaves = [Leaf({t: float(w)}) for t, w in zip(a["leaf_targetids"], a["leaf_weights"], strict=True)]
    sets, current = [], []
    for value in np.asarray(a.get("membership_values", []), np.float64):
        if math.isnan(value):
            sets.append(current)
            current = []
        else:
            current = [*current, value]
    asked = iter(sets)
    hit_rates = a.get("nodes_hitrates")
    tracks = a.get("nodes_missing_value_tracks_true") or [0] * len(a["nodes_modes"])
    branches = []
    for i, number in enumerate(a["nodes_modes"]):
        threshold = next(asked) if modes[number] == "BRANCH_MEMBER" else float(a["nodes_splits"][i])
        rate = float(hit_rates[i]) if _informative(hit_rates) else None
        branches.append(Branch(modes[number], a["nodes_featureids"][i], threshold, bool(tracks[i]), rate))
    for i, branch in enumerate(branches):
        branch.yes, branch.no = (
            (leaves if a[f"nodes_{side}leafs"][i] else branches)[a[f"nodes_{side}nodeids"][i]]
            for side in ("true", "false")
        )
    return [branches[root] for root in a["tree_roots"]]


@functools.cache
def mean(node: Branch | Leaf | None, targets: int) -> Array:
    """Of everything below a node: each side as often as it was taken, else by its share of the threshold grid."""
    assert node is not None
    if isinstance(node, Leaf):
        return np.array([node.weights.get(t, 0.0) for t in range(targets)])
    share = share_of(node)
    return share * mean(node.yes, targets) + (1 - share) * mean(node.no, targets)


def share_of(node: Branch) -> float:
    """Share of a comparison's samples on its true branch: a half, or as its sides' rates say."""
    left, right = (side.rate for side in (node.yes, node.no))  # type: ignore[union-attr]
    if node.rate is not None and left is None and right is not None:
        left = node.rate - right
    if node.rate is not None and right is None and left is not None:
        right = node.rate - left
    if left is None or right is None or left < 0 or right < 0 or left + right == 0 or node.yes is node.no:
        return node.share
    return left / (left + right)


def mean_given(node: Branch | Leaf | None, x: Array, known: frozenset[int], targets: int) -> Array:
    """Mean below a node where the features in `known` are those of x, and the others unknown."""
    assert node is not None
    if isinstance(node, Leaf):
        return mean(node, targets)
    if node.feature in known:
        return mean_given(node.next(x), x, known, targets)
    yes, no = (mean_given(side, x, known, targets) for side in (node.yes, node.no))
    return share_of(node) * yes + (1 - share_of(node)) * no


def shapley(root: Branch | Leaf, x: Array, targets: int) -> Array:
    """Shapley values [features, targets] by their definition, or leaf by leaf where there are too many subsets."""
    if x.size > MANY:
        return shapley_by_leaves(root, x, targets)
    count, values = x.size, np.zeros((x.size, targets))
    game = {}
    for size in range(count + 1):
        for subset in itertools.combinations(range(count), size):
            game[frozenset(subset)] = mean_given(root, x, frozenset(subset), targets)
    for known, value in game.items():
        weight = math.factorial(len(known)) * math.factorial(count - len(known) - 1) if len(known) < count else 0
        for feature in set(range(count)) - known:
            values[feature] += weight / math.factorial(count) * (game[known | {feature}] - value)
    return values


def shapley_by_leaves(root: Branch | Leaf, x: Array, targets: int) -> Array:
    """Shapley values [features, targets] as sums over leaves: each is a game of the few features on its path.

    If a feature of a leaf is known with probability t, the leaf is reached with probability `z + (o − z)·t`, where o
    says that x meets the feature's comparisons, and z is the product of their shares. The integral of the product of
    the others' polynomials is the share of a feature.
    """
    values = np.zeros((x.size, targets))
    pending: list[tuple[Any, dict[int, tuple[bool, float]]]] = [(root, {})]
    while pending:
        node, way = pending.pop()
        if isinstance(node, Branch):
            taken, share = node.next(x), share_of(node)
            for side, part in ((node.yes, share), (node.no, 1 - share)):
                met, product = way.get(node.feature, (True, 1.0))
                same = node.yes is node.no or side is taken
                pending.append((side, way | {node.feature: (met and same, product * part)}))
            continue
        for feature, (met, product) in way.items():
            others = np.polynomial.Polynomial([1.0])
            for other, (o, z) in way.items():
                others = others * np.polynomial.Polynomial([z, o - z]) if other != feature else others
            values[feature] += (met - product) * others.integ()(1.0) * mean(node, targets)
    return values


def explain(node: onnx.NodeProto, x: Array, targets: int, game: str = "shapley") -> Explained:
    """Every sample through every tree; thresholds are compared in the type of x."""
    a = attributes(node)
    roots = trees(node)
    aggregate = a.get("aggregate_function", "SUM")
    aggregate = aggregate if isinstance(aggregate, str) else ("AVERAGE", "SUM", "MIN", "MAX")[aggregate]
    x = np.asarray(x, np.float64)
    sums, base = np.zeros((len(x), targets)), np.zeros((len(x), targets))
    parts = np.zeros((*x.shape, targets))
    for n, row in enumerate(x):
        walked = [_walk(root, row, targets) for root in roots]
        for t in range(targets):
            chosen = range(len(roots))
            if aggregate in ("MIN", "MAX"):
                said = [i for i, (leaf, _, _) in enumerate(walked) if t in leaf.weights]
                best = min if aggregate == "MIN" else max
                chosen = [best(said, key=lambda i, t=t: walked[i][0].weights[t])] if said else []
            for i in chosen:
                leaf, start, changes = walked[i]
                sums[n, t] += leaf.weights.get(t, 0.0)
                base[n, t] += start[t]
                if aggregate in ("MIN", "MAX") or game == "path":
                    for feature, change in changes:
                        parts[n, feature, t] += change[t]
        if aggregate not in ("MIN", "MAX") and game == "shapley":
            parts[n] = sum(shapley(root, row, targets) for root in roots)
    scale = 1 / len(roots) if aggregate == "AVERAGE" else 1
    return Explained(sums * scale, parts * scale, base * scale)


def _walk(root: Branch | Leaf, x: Array, targets: int) -> tuple[Leaf, Array, list[tuple[int, Array]]]:
    """The leaf reached, the root's mean, and at each comparison its feature and how the mean changed."""
    node, changes = root, []
    now = start = mean(root, targets)
    while isinstance(node, Branch):
        after = node.next(x)
        assert after is not None
        then = mean(after, targets)
        changes.append((node.feature, then - now))
        node, now = after, then
    return node, start, changes
