"""Small line charts in SVG, readable at the width of a phone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from onnxlrp.reporting.html_text import html_of
from onnxlrp.view.number_words import four_digits

_WIDTH, _LEFT, _TOP, _PLOT = 360, 72, 10, 150
_RIGHT = _WIDTH - 12


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """A line of a chart; its style is one of `l0` to `l3` in the page's style sheet."""

    name: str
    x: np.ndarray
    y: np.ndarray
    style: str


def line_chart(lines: Sequence[Line], title: str, x_ends: tuple[str, str], x_name: str) -> str:
    """Draw lines over one axis; `title` describes the chart for those who do not see it, `x_ends` name both ends of the
    axis."""
    shown = [line for line in lines if np.isfinite(line.y).all() and line.y.size]
    if not shown:
        return "<p>The values are not finite, so that there is no chart.</p>"
    x_low, x_high = _ends([line.x for line in shown])
    y_low, y_high = _ends([np.append(line.y, 0.0) for line in shown])
    across, down = (x_low, x_high, _LEFT, _RIGHT), (y_low, y_high, _TOP + _PLOT, _TOP)
    base = _TOP + _PLOT
    ends = (y_low, y_high)
    marks = [y_low, *([0.0] if min(abs(end) for end in ends) > (y_high - y_low) / 10 else []), y_high]
    parts = [_mark(value, float(_at(value, *down))) for value in marks]
    parts += [_path(line, across, down) for line in shown]
    parts.append(f'<text x="{_LEFT}" y="{base + 14}">{html_of(x_ends[0])}</text>')
    parts.append(f'<text x="{_RIGHT}" y="{base + 14}" text-anchor="end">{html_of(x_ends[1])}</text>')
    parts.append(f'<text x="{(_LEFT + _RIGHT) // 2}" y="{base + 28}" text-anchor="middle">{html_of(x_name)}</text>')
    parts += [_entry(line, index, base + 44) for index, line in enumerate(shown)]
    height = base + 44 + 16 * len(shown)
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{html_of(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _ends(arrays: Sequence[np.ndarray]) -> tuple[float, float]:
    low, high = min(float(one.min()) for one in arrays), max(float(one.max()) for one in arrays)
    return (low, high) if high > low else (low, low + 1.0)


def _at(values: np.ndarray | float, low: float, high: float, start: float, end: float) -> np.ndarray:
    """Place values of a range on a range of the drawing."""
    return np.asarray(start + (np.asarray(values, np.float64) - low) / (high - low) * (end - start))


def _mark(value: float, y: float) -> str:
    line = f'<line x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
    return f'{line}<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{four_digits(value)}</text>'


def _path(line: Line, across: tuple[float, ...], down: tuple[float, ...]) -> str:
    points = zip(_at(line.x, *across), _at(line.y, *down), strict=True)
    return f'<polyline class="{line.style}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def _entry(line: Line, index: int, top: int) -> str:
    """Write an entry of the legend: a stroke in the line's style, and its name."""
    y = top + 16 * index
    stroke = f'<polyline class="{line.style}" points="{_LEFT},{y - 4} {_LEFT + 26},{y - 4}"/>'
    return f'{stroke}<text x="{_LEFT + 32}" y="{y}">{html_of(line.name, 44)}</text>'
