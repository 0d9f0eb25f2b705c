"""Layered layout of a graph: a row for each depth, few crossings, edges that go round nodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence

import networkx as nx

from onnxlrp.reporting.collapsed_graph import depths

WIDE, SLIM = 150.0, 22.0
"""Room that a node takes across, and that an edge takes which passes a row."""
DOWN = 62.0
"""Distance of two rows."""
_SWEEPS = 6
_BENDS = 4000
"""Most bends of all edges; beyond it long edges are straight."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """Places of nodes, as centres, and the points that each edge passes."""

    places: Mapping[Hashable, tuple[float, float]]
    edges: Sequence[tuple[tuple[float, float], ...]]
    width: float
    height: float


def lay_out(graph: nx.DiGraph) -> Layout:
    """Place the nodes of a graph without circles in rows by their depth."""
    depth = depths(graph)
    bent, ways = _with_bends(graph, depth)
    rows = _rows(bent, depth)
    across = _across(bent, rows)
    left = min(across.values(), default=0.0) - WIDE / 2
    places = {node: (across[node] - left, DOWN * (depth[node] + 0.5)) for node in across}
    edges = [tuple(places[node] for node in way) for way in ways]
    width = max((x for x, _ in places.values()), default=0.0) + WIDE / 2
    return Layout({node: places[node] for node in graph}, edges, width, DOWN * len(rows))


def _with_bends(graph: nx.DiGraph, depth: dict[Hashable, int]) -> tuple[nx.DiGraph, list[list[Hashable]]]:
    """Put a bend on each row that an edge passes; return the graph with them and the way of each edge."""
    bent = nx.DiGraph()
    bent.add_nodes_from(graph)
    many = sum(depth[b] - depth[a] - 1 for a, b in graph.edges) > _BENDS
    ways = []
    for a, b in graph.edges:
        passed = [] if many else [("bend", a, b, row) for row in range(depth[a] + 1, depth[b])]
        depth.update({bend: bend[3] for bend in passed})
        way: list[Hashable] = [a, *passed, b]
        nx.add_path(bent, way)
        ways.append(way)
    return bent, ways


def _rows(graph: nx.DiGraph, depth: Mapping[Hashable, int]) -> list[list[Hashable]]:
    """Order the nodes of each row by the mean place of their neighbours, downwards and upwards in turn."""
    rows: list[list[Hashable]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for node in graph:
        rows[depth[node]].append(node)
    order = {node: float(index) for row in rows for index, node in enumerate(row)}
    for sweep in range(_SWEEPS):
        near = graph.predecessors if sweep % 2 == 0 else graph.successors
        for row in rows if sweep % 2 == 0 else reversed(rows):
            means = {node: _mean([order[one] for one in near(node)], order[node]) for node in row}
            row.sort(key=means.__getitem__)
            order.update({node: float(index) for index, node in enumerate(row)})
    return rows


def _across(graph: nx.DiGraph, rows: Sequence[Sequence[Hashable]]) -> dict[Hashable, float]:
    """Place the nodes of each row at the mean of their neighbours, as far as their order and their widths allow."""
    across = dict.fromkeys(graph, 0.0)
    for sweep in range(_SWEEPS):
        near = graph.predecessors if sweep % 2 == 0 else graph.successors
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = [_mean([across[one] for one in near(node)], across[node]) for node in row]
            across.update(zip(row, _apart(row, wanted), strict=True))
    return across


def _apart(row: Sequence[Hashable], wanted: Sequence[float]) -> list[float]:
    """Move places apart until they do not overlap, and the row as a whole back to the mean of what is wanted."""
    places: list[float] = []
    for index, (node, want) in enumerate(zip(row, wanted, strict=True)):
        least = places[-1] + (_room(row[index - 1]) + _room(node)) / 2 if index else want
        places.append(max(want, least))
    shift = _mean([want - place for want, place in zip(wanted, places, strict=True)], 0.0)
    return [place + shift for place in places]


def _room(node: Hashable) -> float:
    return SLIM if isinstance(node, tuple) and node[:1] == ("bend",) else WIDE


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise
