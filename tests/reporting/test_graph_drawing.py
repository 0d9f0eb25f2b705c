"""Drawings of the relevance graph: what is drawn as one, and where it stands."""

from __future__ import annotations

import itertools

import networkx as nx

from onnxlrp.reporting.collapsed_graph import collapse, depths
from onnxlrp.reporting.graph_layout import DOWN, WIDE, lay_out


def of_edges(edges, inputs=("x",)) -> nx.MultiDiGraph:
    """A plan's graph: every node but the score and the inputs is a step."""
    graph = nx.MultiDiGraph(edges)
    for node in graph:
        if node not in ("score", *inputs):
            graph.nodes[node]["operator"] = "Conv"
    return graph


def chain(length):
    names = ["score", *(f"n{i}" for i in range(length)), "x"]
    return of_edges(itertools.pairwise(names))


def residual(blocks, inside=6):
    """Blocks of several branches, each around a step that all relevance passes."""
    edges, last = [], "score"
    for block in range(blocks):
        edges.append((last, f"{block}.in"))
        for branch in range(inside):
            edges += [(f"{block}.in", f"{block}.{branch}"), (f"{block}.{branch}", f"{block}.out")]
        edges.append((f"{block}.in", f"{block}.out"))
        last = f"{block}.out"
    return of_edges([*edges, (last, "x")])


def members(graph):
    return sorted(one for node in graph for one in graph.nodes[node]["members"])


def test_small_graphs_are_drawn_as_they_are():
    graph, words = collapse(chain(5))
    assert len(graph) == 7 and words == ""


def test_long_chains_are_drawn_as_fewer_nodes():
    graph, words = collapse(chain(3000))
    assert len(graph) <= 160 and "a chain are drawn as one" in words
    assert members(graph) == sorted(chain(3000))
    assert nx.is_directed_acyclic_graph(graph)
    assert {"score", "x"} <= set(graph)


def test_blocks_are_drawn_as_one():
    graph, words = collapse(residual(40))
    assert len(graph) <= 160 and "one block" in words
    assert members(graph) == sorted(residual(40))
    assert graph.nodes["3.0"]["members"] == [f"3.{branch}" for branch in range(6)]
    assert nx.is_directed_acyclic_graph(graph)


def test_thousands_of_blocks_are_drawn_as_runs():
    graph, words = collapse(residual(1000))
    assert 60 < len(graph) <= 160 and "several blocks" in words
    assert members(graph) == sorted(residual(1000))
    assert nx.is_directed_acyclic_graph(graph) and {"score", "x"} <= set(graph)


def test_graphs_without_blocks_are_cut_off():
    steps = [f"n{i}" for i in range(500)]
    beside = [("score", steps[0]), ("score", steps[1]), *zip(steps, steps[2:], strict=False)]
    crossed = zip(steps, steps[3:], strict=False)
    graph, words = collapse(of_edges([*beside, *crossed, (steps[-1], "x"), (steps[-2], "x")]))
    assert len(graph) == 160 and "nearest to the score" in words
    assert "score" in graph and "x" not in graph


def test_nodes_do_not_overlap_and_edges_go_down():
    graph, _ = collapse(residual(4))
    layout = lay_out(graph)
    places = list(layout.places.values())
    for (x, y), (other_x, other_y) in itertools.combinations(places, 2):
        assert y != other_y or abs(x - other_x) >= WIDE - 1e-6
    assert all(start[1] < end[1] for way in layout.edges for start, end in itertools.pairwise(way))
    assert all(WIDE / 2 - 1e-6 <= x <= layout.width - WIDE / 2 + 1e-6 and y < layout.height for x, y in places)


def test_long_edges_bend_round_the_nodes_between():
    graph, _ = collapse(of_edges([("score", "a"), ("a", "b"), ("b", "c"), ("a", "c"), ("c", "x")]))
    layout = lay_out(graph)
    way = next(way for way in layout.edges if len(way) == 3)
    assert way[1][1] == layout.places["b"][1] and way[1][0] != layout.places["b"][0]


def test_depths_are_the_longest_ways():
    assert depths(nx.DiGraph([("a", "b"), ("b", "c"), ("a", "c")])) == {"a": 0, "b": 1, "c": 2}
    assert lay_out(nx.DiGraph()).height == 0 and DOWN > 0
