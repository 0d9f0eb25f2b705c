"""Figure of texts: words on the colours of their relevance, in lines as they were written."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyBboxPatch
from matplotlib.textpath import TextToPath

from onnxlrp.printable import escaped
from onnxlrp.view.figures.canvas import GREY, INK, SIGNED, Drawing, colour_bar, scale, short
from onnxlrp.view.figures.options import Options
from onnxlrp.view.figures.scene import Scene
from onnxlrp.view.number_words import four_digits
from onnxlrp.view.pictures import paper_and_ink
from onnxlrp.view.tokens import Piece, limit_of_texts, pieces

_WIDTH = 8.6
_SIZE, _LINE, _SPACE = 13.0, 25.0, 4.5
"""Size of letters, height of a line, and width of a blank, in points."""
_PAD = 2.0
_NARROW = 330.0
"""Least width of the texts in points, for the title and the scale."""
_MOST_LINES = 40
_TEXTS = 8
"""Most texts in one figure."""


@dataclasses.dataclass(frozen=True)
class Placed:
    """A piece of text at its place, in points from the upper left corner."""

    piece: Piece
    x: float
    line: int
    width: float


def text_drawing(scene: Scene, names: Sequence[str], options: Options) -> Drawing:
    """Draw the texts of all inputs of words, sample by sample, each on its own scale; pieces of a word are joined."""
    samples = list(options.samples or range(scene.samples))
    places = [(sample, k) for sample in samples for k in range(scene.targets)]
    shown = places[: max(1, _TEXTS // max(len(names), 1))]
    blocks = [_block(scene, names, sample, k, len(places) > 1) for sample, k in shown]
    heights = [_height(block) for block in blocks]
    wide = max([one.x + one.width for block in blocks for _, words in block.texts for one in words], default=0.0)
    left_out = len(places) - len(shown)
    notes = (f"The first {len(shown)} of {len(places)} texts.",) if left_out else ()

    def draw(canvas: Any) -> None:
        axes = canvas.subplots(len(blocks), 1, squeeze=False, height_ratios=heights)[:, 0]
        for place, block in zip(axes, blocks, strict=True):
            _draw_block(place, block, max(wide, _NARROW))
        limit = blocks[0].limit if len(blocks) == 1 else 1.0
        unit = scene.unit if len(blocks) == 1 else "relevance, as a share of each text's largest"
        shape = {"fraction": 0.06, "aspect": 30, "pad": 0.02, "shrink": 210 / max(wide, _NARROW)}
        bar = colour_bar(canvas, axes, limit, unit, False, location="bottom", anchor=(0.0, 0.5), **shape)
        for label, side in zip(bar.ax.get_xticklabels(), ("left", "center", "right"), strict=True):
            label.set_horizontalalignment(side)

    return Drawing(
        (max(wide, _NARROW) + 14) / 72,
        sum(heights) / 72 + 1.35,
        draw,
        notes,
        title="" if len(places) == 1 else "Relevance of the words",
    )


@dataclasses.dataclass(frozen=True)
class _Block:
    """Texts of one sample and target."""

    heading: str
    texts: tuple[tuple[str, tuple[Placed, ...]], ...]
    limit: float


def _block(scene: Scene, names: Sequence[str], sample: int, k: int, several: bool) -> _Block:
    texts = {name: _pieces(scene, name, sample, k) for name in names}
    limit = limit_of_texts(list(texts.values()))
    words = tuple((escaped(name) if len(names) > 1 else "", placed(some)) for name, some in texts.items())
    return _Block(scene.heading(sample, k) if several else "", words, limit)


def _pieces(scene: Scene, name: str, sample: int, k: int) -> tuple[Piece, ...]:
    """Cut a text into whole words; ids without a tokenizer are pieces of their own."""
    relevance = scene.relevance(name, sample, k).reshape(-1)
    rows = scene.explanation.tokens.get(name, ())
    position = scene.explanation.position
    here = None if position is None else int(position[sample])
    if rows:
        return pieces(rows[sample if len(rows) > 1 else 0], relevance, words=True, position=here)
    value = scene.value(name, sample)
    words = [str(i) for i in range(relevance.size)] if value is None else [escaped(v) for v in np.ravel(value)]
    return tuple(Piece(word, float(amount)) for word, amount in zip(words, relevance))


def placed(words: Sequence[Piece], width: float = _WIDTH * 72 - 30) -> tuple[Placed, ...]:
    """Break pieces into lines of at most `width` points; pieces that adjoin stay together."""
    result: list[Placed] = []
    x, line = 0.0, 0
    font = FontProperties(size=_SIZE)
    for group in _groups(words):
        widths = [_measured(short(escaped(piece.text), 60), font) for piece in group]
        gap = _SPACE if x else 0.0
        if x and x + gap + sum(widths) > width:
            x, gap, line = 0.0, 0.0, line + 1
        x += gap
        for piece, one in zip(group, widths, strict=True):
            result.append(Placed(piece, x, line, one))
            x += one
    return tuple(one for one in result if one.line < _MOST_LINES)


def _groups(words: Sequence[Piece]) -> list[list[Piece]]:
    groups: list[list[Piece]] = []
    for piece in words:
        if groups and not piece.gap and len(groups[-1]) < 12:
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups


def _measured(text: str, font: FontProperties) -> float:
    return float(TextToPath().get_text_width_height_descent(text, font, ismath=False)[0]) + 2 * _PAD


def _height(block: _Block) -> float:
    lines = sum(1 + max((one.line for one in words), default=0) for _, words in block.texts)
    return lines * _LINE + 16 * sum(bool(name) for name, _ in block.texts) + 18 * bool(block.heading) + 8


def _draw_block(axes: Any, block: _Block, width: float) -> None:
    """Draw texts in axes that are measured in points."""
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(_height(block), 0)
    y = 4.0
    if block.heading:
        axes.text(0, y + 9, short(block.heading, 90), fontweight="bold", va="center", fontsize=10)
        y += 18
    for name, words in block.texts:
        if name:
            axes.text(0, y + 8, name, color=GREY, va="center", fontsize=8.5)
            y += 16
        for one in words:
            _draw_piece(axes, one, y, block.limit)
        y += (1 + max((one.line for one in words), default=0)) * _LINE


def _draw_piece(axes: Any, one: Placed, top: float, limit: float) -> None:
    y = top + one.line * _LINE
    ink = paper_and_ink(one.piece.relevance, limit)[1]
    colour = SIGNED(scale(limit)(one.piece.relevance))
    box = FancyBboxPatch((one.x + 0.6, y + 2), one.width - 1.2, _LINE - 5, boxstyle="round,pad=0,rounding_size=2.5",
                         facecolor=colour, edgecolor=INK if one.piece.marked else "none", linewidth=1.2)  # fmt: skip
    box.set_gid(four_digits(one.piece.relevance))
    axes.add_patch(box)
    axes.text(one.x + _PAD, y + _LINE / 2, short(escaped(one.piece.text), 60), fontsize=_SIZE, va="center_baseline",
              color=ink)  # fmt: skip
