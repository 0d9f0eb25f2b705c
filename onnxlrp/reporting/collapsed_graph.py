"""Graphs that are small enough to read: long ones have steps drawn as one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import networkx as nx

READABLE = 160
"""Most nodes of a drawing."""
_FEW = 12
"""Least nodes of a drawing of blocks: fewer would hide a long graph."""


def collapse(graph: nx.MultiDiGraph) -> tuple[nx.DiGraph, str]:
    """Make a graph of at most READABLE nodes that a reader can follow, and say in words what was drawn as one.

    Each node of the result has `members`, the names of the nodes that it stands for. Longer graphs are collapsed by
    chains, then by blocks between steps that all relevance passes, then by runs of blocks, and at last cut off far
    from the score.
    """
    plain = nx.DiGraph(graph)
    whole = _grouped(plain, {node: node for node in plain})
    if len(whole) <= READABLE:
        return whole, ""
    chained = _grouped(plain, _chains(plain, max(4, -(-2 * len(plain) // READABLE))))
    if len(chained) <= READABLE:
        return chained, f"{len(plain):,} nodes are drawn as {len(chained)}: steps in a chain are drawn as one."
    blocks = _grouped(plain, _blocks(plain))
    if _FEW <= len(blocks) <= READABLE:
        words = "what lies between two steps that all relevance passes is drawn as one block."
        return blocks, f"{len(plain):,} nodes are drawn as {len(blocks)}: {words}"
    joined = _grouped(plain, _blocks(plain, joined=True))
    runs = _grouped(joined, _chains(joined, -(-2 * len(joined) // READABLE)))
    if _FEW <= len(runs) <= READABLE:
        return runs, f"{len(plain):,} nodes are drawn as {len(runs)}: several blocks in turn are drawn as one."
    smaller = min((one for one in (whole, chained, blocks, runs) if len(one) > READABLE), key=len)
    near = list(nx.lexicographical_topological_sort(smaller, key=_ranked(smaller).__getitem__))[:READABLE]
    return (
        nx.DiGraph(smaller.subgraph(near)),
        f"The {READABLE} nodes nearest to the score are drawn, of {len(smaller):,} that {len(plain):,} were collapsed "
        "to; the table of the plan has all.",
    )


def depths(graph: nx.DiGraph) -> dict[Hashable, int]:
    """Measure the longest way from a source to each node, in edges."""
    found: dict[Hashable, int] = {}
    for node in nx.topological_sort(graph):
        found[node] = max((found[one] + 1 for one in graph.predecessors(node)), default=0)
    return found


def _ranked(graph: nx.DiGraph) -> dict[Hashable, tuple[int, str]]:
    return {node: (depth, str(node)) for node, depth in depths(graph).items()}


def _is_step(graph: nx.DiGraph, node: Hashable) -> bool:
    return "operator" in graph.nodes[node]


def _chains(graph: nx.DiGraph, longest: int) -> dict[Hashable, Hashable]:
    """Give each node the first node of its chain: steps that hand all their relevance to one another in turn."""
    heads: dict[Hashable, Hashable] = {}
    lengths: dict[Hashable, int] = {}
    for node in nx.topological_sort(graph):
        above = list(graph.predecessors(node))
        joins = len(above) == 1 and graph.out_degree(above[0]) == 1
        joins = joins and _is_step(graph, node) and _is_step(graph, above[0])
        head = heads[above[0]] if joins and lengths[heads[above[0]]] < longest else node
        heads[node] = head
        lengths[head] = lengths.get(head, 0) + 1
    return heads


def _blocks(graph: nx.DiGraph, joined: bool = False) -> dict[Hashable, Hashable]:
    """Give each node the first node of its block: the steps between two neighbouring steps that no edge passes by.

    With `joined` a block also has the step that its relevance comes from.
    """
    steps = [node for node in nx.topological_sort(graph) if _is_step(graph, node)]
    place = {node: index for index, node in enumerate(steps)}
    reach, furthest = [], 0
    for node in steps:
        reach.append(furthest)  # the furthest end of an edge from any step so far
        furthest = max([furthest, *(place[one] for one in graph.successors(node) if one in place)])
    heads: dict[Hashable, Hashable] = {node: node for node in graph}
    head: Hashable | None = None
    for index, node in enumerate(steps):
        if reach[index] <= index:
            head = node if joined else None  # all relevance passes this step
        else:
            head = node if head is None else head
            heads[node] = head
    return heads


def _grouped(graph: nx.DiGraph, heads: Mapping[Hashable, Hashable]) -> nx.DiGraph:
    """Merge the nodes that have one head; nodes that were merged already bring their members."""
    result = nx.DiGraph()
    for node in nx.topological_sort(graph):
        if heads[node] not in result:
            kind = {"operator": ""} if _is_step(graph, heads[node]) else {}
            result.add_node(heads[node], members=[], **kind)
        result.nodes[heads[node]]["members"] += graph.nodes[node].get("members", [node])
    result.add_edges_from((heads[a], heads[b]) for a, b in graph.edges if heads[a] != heads[b])
    return result
