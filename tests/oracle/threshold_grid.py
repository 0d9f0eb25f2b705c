"""The threshold grid by enumeration: one number stands for each cell, and is sent through the comparisons of all paths
to a node."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

COMPARE = {
    "BRANCH_LEQ": operator.le,
    "BRANCH_LT": operator.lt,
    "BRANCH_GTE": operator.ge,
    "BRANCH_GT": operator.gt,
    "BRANCH_EQ": operator.eq,
    "BRANCH_NEQ": operator.ne,
    "BRANCH_MEMBER": lambda value, members: value in members,
}
EQUALITIES = ("BRANCH_EQ", "BRANCH_NEQ")
Asked = tuple[tuple[Any, bool], ...]
"""A comparison with its answer; several for the chain of equalities with one branch, any of which is passed."""


def shares(roots: Sequence[Any]) -> dict[Any, float]:
    """Compute the share of each branch's cells on its true side: 1 for a branch without a cell."""
    found, numbers = {}, functools.cache(lambda feature: cells(roots, feature))
    for branch, paths in _paths(roots).items():
        left = numbers(branch.feature)
        for asked in set.intersection(*paths):
            if asked[0][0].feature == branch.feature:
                left = [n for n in left if _meets(n, asked)]
        found[branch] = float(np.mean([_passes(branch, n) for n in left])) if left else 1.0
    return found


def branches(roots: Sequence[Any]) -> Iterator[Any]:
    """Yield every node that compares, once."""
    seen, rest = set(), list(roots)
    while rest:
        node = rest.pop()
        if hasattr(node, "mode") and node not in seen:
            seen.add(node)
            yield node
            rest += [node.yes, node.no]


def cells(roots: Sequence[Any], feature: int) -> list[float]:
    """Choose a number in each cell of a feature's axis."""
    asked = [b for b in branches(roots) if b.feature == feature and not _is_idle(b)]
    members = [b.threshold for b in asked if b.mode == "BRANCH_MEMBER"]
    points = {*itertools.chain(*members), *(b.threshold for b in asked if b.mode in EQUALITIES)}
    cutting = [b for b in asked if b.mode not in (*EQUALITIES, "BRANCH_MEMBER")]
    cuts = sorted({(b.threshold, b.mode in ("BRANCH_LEQ", "BRANCH_GT")) for b in cutting})
    numbers = set(points)
    for (low, _), (high, _) in zip([(-math.inf, False), *cuts], [*cuts, (math.inf, True)], strict=True):
        if low == high:
            numbers |= {low} if math.isfinite(low) else set()
            continue
        between = np.linspace(max(low, -1e9), min(high, 1e9), len(points) + 3)[1:-1]
        numbers.add(next(n for n in map(float, between) if n not in points))
    return sorted(numbers)


def _is_idle(branch: Any) -> bool:
    """Both sides are one node, or nothing passes."""
    never = branch.mode != "BRANCH_MEMBER" and math.isnan(branch.threshold)
    return branch.yes is branch.no or never or branch.threshold == []


def _passes(branch: Any, number: float) -> bool:
    return bool(COMPARE[branch.mode](number, branch.threshold))


def _meets(number: float, asked: Asked) -> bool:
    ways = [(*((b, not a) for b, a in asked[:i]), asked[i]) for i in range(len(asked))]
    return any(all(_passes(b, number) == a for b, a in way) for way in ways)


def _leads_to(node: Any) -> Any:
    """Follow comparisons both of whose branches are one node."""
    while hasattr(node, "mode") and node.yes is node.no:
        node = node.yes
    return node


def _paths(roots: Sequence[Any]) -> dict[Any, list[set[Asked]]]:
    """List all paths to each branch, each as the set of the comparisons on it."""
    found: dict[Any, list[set[Asked]]] = {}
    chains = _chains(roots)

    def walk(node: Any, asked: set[Asked]) -> None:
        if not hasattr(node, "mode"):
            return
        found.setdefault(node, []).append(asked)
        if node.yes is node.no:
            walk(node.yes, asked)
            return
        for child, answer in ((node.yes, True), (node.no, False)):
            if node in chains and answer == (node.mode == "BRANCH_EQ"):
                chain = chains[node]
                outside = {a for a in asked if len(a) > 1 or a[0][0] not in chain}
                walk(child, outside | {tuple((b, b.mode == "BRANCH_EQ") for b in chain)})
            else:
                walk(child, asked | {((node, answer),)})

    for root in dict.fromkeys(roots):
        walk(root, set())
    return found


def _chains(roots: Sequence[Any]) -> dict[Any, tuple[Any, ...]]:
    """Map each equality to the chain that it belongs to; one that stands alone is a chain of one."""
    every = [b for b in branches(roots) if b.yes is not b.no]
    equal = [b for b in every if b.mode in EQUALITIES]
    ends = [*roots, *itertools.chain(*((b.yes, b.no) for b in every))]
    parents = [id(_leads_to(node)) for node in ends]
    ways = {b: (_leads_to(b.yes), _leads_to(b.no)) for b in equal}
    sides = {b: way[:: 1 if b.mode == "BRANCH_EQ" else -1] for b, way in ways.items()}
    after = {}
    for a in equal:
        same, b = sides[a]
        if b in sides and b.feature == a.feature and sides[b][0] is same and hasattr(same, "mode"):
            after.update({a: b} if parents.count(id(b)) == 1 else {})
    chain: dict[Any, tuple[Any, ...]] = {}
    for head in [b for b in equal if b not in after.values()]:
        members = [head]
        while members[-1] in after:
            members.append(after[members[-1]])
        chain.update(dict.fromkeys(members, tuple(members)))
    return chain
