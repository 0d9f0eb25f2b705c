"""Drawing of the relevance graph in SVG, whose nodes lead to their rows in the table of the plan."""

from __future__ import annotations

import collections
from collections.abc import Hashable, Mapping, Sequence

import networkx as nx

from onnxlrp.plan.steps import Step, every_step
from onnxlrp.reporting.collapsed_graph import collapse
from onnxlrp.reporting.graph_layout import Layout, lay_out
from onnxlrp.reporting.html_text import html_of
from onnxlrp.reporting.report_content import ComparedExplanation
from onnxlrp.reporting.searchable_plan import numbered_steps

_WIDE, _HIGH = 138, 38
_LETTERS = 22
_BUTTONS = " ".join(
    f'<button type="button" id="zoom-{name}">{words}</button>'
    for name, words in (("out", "Smaller"), ("in", "Larger"), ("fit", "Fit the width"))
)


def graph_section(one: ComparedExplanation) -> str:
    """Draw the relevance graph of a plan, from the score down to the inputs."""
    if not nx.is_directed_acyclic_graph(one.plan.graph):
        return "<p>Two parts of this graph have one name, so that it is not drawn; the table of the plan has all.</p>"
    graph, words = collapse(one.plan.graph)
    layout = lay_out(graph)
    steps = {step.name: step for step in every_step(one.plan.steps)}
    numbers = numbered_steps(one)
    edges = "".join(f'<path d="{_curve(way)}"/>' for way in layout.edges)
    nodes = "".join(_node(node, graph.nodes[node]["members"], layout, steps, numbers) for node in graph)
    width, height = layout.width, layout.height
    return (
        "<p>Relevance goes from the score at the top to the inputs at the bottom. A node leads to its row in the plan; "
        f"where scripts run, a click shows its rule, shapes, formula and sum here. {html_of(words)}</p>"
        f'<p class="scripted">{_BUTTONS}</p><div class="drawing">'
        '<div id="graph" tabindex="0" role="region" aria-label="Relevance graph, which scrolls">'
        f'<svg width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">'
        f'<g class="edges">{edges}</g>{nodes}</svg></div>'
        '<div id="node" class="scripted" role="status"></div></div>'
    )


def _curve(way: Sequence[tuple[float, float]]) -> str:
    """Draw an edge through its points as a smooth curve."""
    (x, y), *others = way
    parts = [f"M{x:.0f} {y + _HIGH / 2:.0f}"]
    y += _HIGH / 2
    for index, (to_x, to_y) in enumerate(others):
        end = to_y - (_HIGH / 2 if index == len(others) - 1 else 0)
        middle = (y + end) / 2
        parts.append(f"C{x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} {to_x:.0f} {end:.0f}")
        x, y = to_x, end
    return "".join(parts)


def _node(
    node: Hashable, members: Sequence[str], layout: Layout, steps: Mapping[str, Step], numbers: Mapping[str, int]
) -> str:
    """Draw a node: two lines in a box, which lead to a row of the plan's table if it has one."""
    x, y = layout.places[node]
    first, second, kind = _lines(members, steps)
    rows = [numbers[name] for name in members if name in numbers]
    whole = html_of(", ".join(members[:6]) + (f" and {len(members) - 6} more" if len(members) > 6 else ""))
    left, top = x - _WIDE / 2, y - _HIGH / 2
    box = (
        f"<title>{whole}</title>"
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{_WIDE}" height="{_HIGH}" rx="5" class="{kind}"/>'
        f'<text x="{x:.0f}" y="{y - 4:.0f}">{html_of(first, _LETTERS)}</text>'
        f'<text x="{x:.0f}" y="{y + 11:.0f}" class="second">{html_of(second, _LETTERS)}</text>'
    )
    if not rows:
        return f"<g>{box}</g>"
    return f'<a href="#s{rows[0]}" data-rows="{" ".join(map(str, rows))}">{box}</a>'


def _lines(members: Sequence[str], steps: Mapping[str, Step]) -> tuple[str, str, str]:
    """Return the two lines of a node, and its style."""
    name = members[0]
    if len(members) > 1:
        usual = collections.Counter(steps[one].operator for one in members if one in steps).most_common(2)
        return f"{len(members)} steps", ", ".join(operator for operator, _ in usual), "several"
    if name in steps:
        step = steps[name]
        return step.operator, step.rule_text, "layer" if step.rule is not None else "step"
    return ("score", "relevance starts", "end") if name == "score" else (name, "explained input", "end")
