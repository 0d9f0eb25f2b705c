"""Figure of pictures: each beside the relevance of its pixels, for one class or several, one sample or many."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxlrp.runtime.asked_place import AskedPlace
from onnxlrp.view import pictures
from onnxlrp.view.figures.canvas import GREY, INK, SIGNED, Drawing, clip_note, colour_bar, frame, scale, short
from onnxlrp.view.figures.options import Options
from onnxlrp.view.figures.picture_maps import Pictured, half_level, laid_over, pictured, smoothed
from onnxlrp.view.figures.scene import Scene
from onnxlrp.view.number_words import four_digits

_SIDE = 3.3
"""Longer side of a picture in inches."""
_LONG = 6.0
"""Largest ratio of a picture's sides that is kept; longer pictures are stretched across, so that they can be read."""
_ROWS = 12
"""Most samples in one figure."""
_CONTOUR = "The line surrounds half of the relevance that speaks for it."
_MARKS = {
    "point": "The ring is the point that was asked about.",
    "box": "The dashed box is the one that was asked about.",
    "detected": "The dashed box is the detected one whose score is explained.",
}
"""Sentences of the caption about the mark of a place."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Cell:
    """One picture of the grid."""

    one: Pictured
    kind: str
    """Kind of the cell: "picture", "overlay" or "map"."""
    title: str = ""
    limit: float = 1.0
    below: str = ""
    place: AskedPlace | None = None


def picture_drawing(scene: Scene, name: str, options: Options) -> Drawing:
    """Draw a row of pictures for one sample, and a grid for several.

    One sample and class: the picture, the relevance laid over it, and the relevance alone. Several classes: the
    picture, and the relevance of each laid over it, on one scale. Several samples: the picture and its relevance, each
    on its own scale.
    """
    samples = options.samples or range(scene.samples)
    rows = [_row(scene, name, sample, several=len(samples) > 1) for sample in list(samples)[:_ROWS]]
    if len(rows) == 1:
        return _grid(scene, rows, shared=True, notes=_notes(rows[0], len(samples)))
    if len(rows[0]) == 2 and len(rows) > 2:  # two samples a row
        rows = [[*rows[i], *(rows[i + 1] if i + 1 < len(rows) else ())] for i in range(0, len(rows), 2)]
    left_out = len(samples) - _ROWS
    notes = (f"The first {_ROWS} of {len(samples)} samples.",) if left_out > 0 else ()
    return _grid(
        scene, rows, shared=False, notes=notes, title="Relevance of the pixels, for the score above each picture"
    )


def _row(scene: Scene, name: str, sample: int, several: bool) -> list[_Cell]:
    """Make the cells of one sample: the picture, then its relevance for each target."""
    found = [pictured(scene, name, sample, k) for k in range(scene.targets)]
    limit = pictures.limit_of(np.stack([one.raw for one in found]))
    first = found[0]
    titles = ["", *(f"{scene.label(sample, k)}\n{scene.amount(sample, k)}" for k in range(scene.targets))]
    if scene.targets == 1:
        titles = [titles[1] if several else "", ""]
    kind = "map" if first.is_small else "overlay"
    ends = f"colours end at ±{four_digits(limit)}" if several else ""
    cells = [_Cell(first, "picture", titles[0], limit)]
    cells += [_Cell(one, kind, title, limit, ends) for one, title in zip(found, titles[1:], strict=True)]
    if not several and scene.targets == 1 and kind == "overlay":
        cells.append(_Cell(first, "map", "", limit))
    targets = [0, *range(scene.targets), 0]
    return [dataclasses.replace(cell, place=scene.place(sample, k)) for cell, k in zip(cells, targets, strict=False)]


def _notes(row: Sequence[_Cell], count: int) -> tuple[str, ...]:
    contour = _CONTOUR if any(cell.kind == "overlay" for cell in row) else ""
    clipped = clip_note(np.stack([cell.one.raw for cell in row]), row[0].limit)
    mark = "" if row[0].place is None else _MARKS.get(row[0].place.mark, "")
    return tuple(note for note in (mark, contour, clipped) if note)


def _grid(
    scene: Scene, rows: Sequence[Sequence[_Cell]], shared: bool, notes: tuple[str, ...], title: str = ""
) -> Drawing:
    """Lay out cells in a grid; a single row of wide pictures becomes a column."""
    width, height = rows[0][0].one.size
    if len(rows) == 1 and width > 1.8 * height:
        rows = [[cell] for cell in rows[0]]
    side = _SIDE if max(len(row) for row in rows) <= 3 else _SIDE * 0.72
    if len(rows) == 1 and len(rows[0]) == 1:
        side = 4.5
    ratios = [float(np.clip(c.one.size[0] / c.one.size[1], 1 / _LONG, _LONG)) for row in rows for c in row]
    across, down = side * min(max(ratios), 1), side / max(min(ratios), 1)
    if len(rows[0]) == 1:  # a column of wide pictures
        across, down = across * 2.2, down * 2.2
    columns = max(len(row) for row in rows)
    alike = max(ratios) < 1.01 * min(ratios)

    def draw(canvas: Any) -> None:
        axes = canvas.subplots(len(rows), columns, squeeze=False)
        for line, row in zip(axes, rows, strict=True):
            for place, cell in zip(line, row, strict=False):
                _draw_cell(place, cell, across)
            for place in line[len(row) :]:
                place.set_axis_off()
        _draw_scale(canvas, scene, axes, rows, shared)

    lines = 0.45 if any(cell.title or cell.below for row in rows for cell in row) else 0.05
    return Drawing(columns * (across + 0.15) + 1.1, len(rows) * (down + lines) + 0.9, draw, notes, alike, title=title)


def _draw_scale(canvas: Any, scene: Scene, axes: Any, rows: Sequence[Sequence[_Cell]], shared: bool) -> None:
    cell = rows[0][-1]
    size: dict[str, Any] = {"fraction": 0.04, "aspect": 20, "pad": 0.015, "shrink": 0.9 if len(rows) == 1 else 0.6}
    if shared:
        clipped = bool(clip_note(cell.one.raw, cell.limit))
        colour_bar(canvas, axes, cell.limit, scene.unit, clipped, **size)
    else:
        colour_bar(canvas, axes, 1.0, "relevance, as a share of each picture's end of the scale", **size)


def _draw_cell(axes: Any, cell: _Cell, width: float) -> None:
    """Draw one cell; its axes are measured in pixels of the picture as it was given."""
    one = cell.one
    extent = (0, one.size[0], one.size[1], 0)
    sharp = {"interpolation": "nearest"} if one.is_small else {"interpolation": "antialiased"}
    if cell.kind == "map":
        axes.imshow(one.relevance, cmap=SIGNED, norm=scale(cell.limit), extent=extent, **sharp)
    elif cell.kind == "overlay":
        axes.imshow(laid_over(one, cell.limit), extent=extent, **sharp)
        _draw_contour(axes, one)
    else:
        axes.imshow(one.picture, cmap="gray", extent=extent, **sharp)
    if cell.place is not None:
        _draw_mark(axes, cell.place, one.size)
    axes.set_anchor("NW")
    if not 1 / _LONG <= one.size[0] / one.size[1] <= _LONG:
        axes.set_aspect("auto")
    frame(axes)
    most = max(14, round(width * 13))
    if cell.title:
        title = "\n".join(short(line, most) for line in cell.title.splitlines())
        axes.set_title(title, fontsize=9, color=INK, loc="left", pad=4)
    if cell.below:
        axes.set_xlabel(cell.below, fontsize=7.5, color=GREY, loc="left", labelpad=2)


def _draw_mark(axes: Any, place: AskedPlace, size: tuple[int, int]) -> None:
    """Mark a place in a picture of this width and height: a ring for a point, a dashed line for a box, both on white so
    that they are seen on dark pictures."""
    (left, top, right, bottom), (width, height) = place.edges, size
    x = [left * width, right * width, right * width, left * width, left * width]
    y = [top * height, top * height, bottom * height, bottom * height, top * height]
    if place.mark == "point":
        for colour, thick in (("white", 3.0), (INK, 1.2)):
            axes.plot(x[:1], y[:1], "o", markersize=9, fillstyle="none", color=colour, markeredgewidth=thick, zorder=5)
    elif place.mark != "none":
        axes.plot(x, y, color="white", linewidth=2.6, zorder=5)
        axes.plot(x, y, color=INK, linewidth=1.2, linestyle=(0, (4, 3)), zorder=5)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def _draw_contour(axes: Any, one: Pictured) -> None:
    """Surround the pixels that hold half of the positive relevance, once it is smoothed."""
    smooth = smoothed(one.raw)
    level = half_level(smooth)
    if level is None or level >= smooth.max():
        return
    height, width = smooth.shape
    x = (np.arange(width) + 0.5) * one.size[0] / width
    y = (np.arange(height) + 0.5) * one.size[1] / height
    axes.contour(x, y, smooth, levels=[level], colors=[INK], linewidths=0.9)
    axes.set_xlim(0, one.size[0])
    axes.set_ylim(one.size[1], 0)
