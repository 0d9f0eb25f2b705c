"""Canvases of matplotlib with the colours and type of every figure, without pyplot's global state."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from onnxlrp.view import pictures
from onnxlrp.view.number_words import four_digits, in_digits

INK, GREY, PALE = "#1e1e1e", "#6b6b6b", "#d9d9d9"
FOR, AGAINST = (f"#{r:02x}{g:02x}{b:02x}" for r, g, b in pictures.colours(np.array([0.62, -0.62]), 1.0))
"""Colours of bars that speak for the score and against it: those of the scale, dark enough for white paper."""
SIGNED = ListedColormap(pictures.colours(np.linspace(-1, 1, 255), 1.0) / 255, "relevance").with_extremes(bad="#808080")
"""Scale of every figure, from against (blue) through 0 (white) to for (red); NaN is grey."""
MARGIN = 0.08
"""Empty space around everything, in inches."""
_FAMILIES = ("DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "Arial Unicode MS", "Microsoft YaHei", "Noto Sans")
"""Fonts in the order in which a character is looked for in them, as far as they are installed."""
_STYLE: dict[Any, Any] = {
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,  # a $ in the name of a column is a $
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "onnxlrp",
}


class NotebookFigure(Figure):
    """A figure of matplotlib that a notebook shows, although pyplot knows nothing of it."""

    def _repr_png_(self) -> bytes:
        content = io.BytesIO()
        self.savefig(content, format="png", dpi=110)
        return content.getvalue()


@dataclasses.dataclass(frozen=True)
class Drawing:
    """Content of a figure, or of one panel of several: its size in inches, and the function that draws it."""

    width: float
    height: float
    draw: Callable[[Any], None]
    """Draws on a figure or a part of one."""
    notes: tuple[str, ...] = ()
    """Sentences for the caption, such as where the colours end."""
    is_pictures: bool = False
    """True if the drawing consists of pictures, whose proportions are fixed, so that gaps between them are closed."""
    sample: int | None = None
    """Number of the sample that is drawn, for a kind of figure that shows one; None for other kinds."""
    all_targets: bool = True
    """True if every target is drawn, or the first three; False if it is the first alone."""
    title: str = ""
    """Title of the figure, where the drawing knows a better one than the explained class."""


@contextlib.contextmanager
def style() -> Iterator[None]:
    """Draw in the type and colours of all figures inside the block; the caller's own settings stay as they are."""
    with matplotlib.rc_context({**_STYLE, "font.family": _installed()}):
        yield


@functools.cache
def _installed() -> list[str]:
    names = set(font_manager.get_font_names())
    return [name for name in _FAMILIES if name in names] or ["sans-serif"]


def new_figure(width: float, height: float, is_pictures: bool = False) -> NotebookFigure:
    """Make an empty figure of a size in inches; pictures move together."""
    figure = NotebookFigure(figsize=(width, height), layout="compressed" if is_pictures else "constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=MARGIN, h_pad=MARGIN)
    return figure


def scale(limit: float) -> Normalize:
    """Make the scale of colours from -limit to limit."""
    return Normalize(-limit, limit)


def colour_bar(canvas: Any, axes: Any, limit: float, unit: str, clipped: bool = False, **options: Any) -> Any:
    """Draw the scale beside axes, with its ends as numbers; arrows at its ends say that some values lie beyond.

    Returns the bar.
    """
    options = {"panchor": False, "extend": "both" if clipped else "neither", **options}
    bar = canvas.colorbar(ScalarMappable(scale(limit), SIGNED), ax=axes, **options)
    bar.set_ticks([-limit, 0, limit], labels=[signed(-limit), "0", signed(limit)])
    bar.set_label(unit, color=GREY)
    bar.outline.set_edgecolor(PALE)
    return bar


def signed(amount: float) -> str:
    """Write an amount with its sign and four digits."""
    return ("+" if amount > 0 else "") + in_digits(amount)


def plain_numbers(axes: Any, most: int = 6) -> None:
    """Write large numbers along the horizontal axis in full, in place of a power of ten beside it; at most `most` + 1
    of them."""
    if max(map(abs, axes.get_xlim())) >= 1e4:
        axes.xaxis.set_major_formatter(lambda amount, _: in_digits(amount))
        axes.locator_params(axis="x", nbins=most)


def frame(axes: Any) -> None:
    """Draw a grey frame around a picture, without ticks."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_color("#cccccc")


def clip_note(values: np.ndarray, limit: float) -> str:
    """Say in words where the colours end, if some values lie beyond; empty otherwise."""
    known = np.abs(values[np.isfinite(values)])
    beyond = int(np.count_nonzero(known > limit * (1 + 1e-6)))
    if not beyond:
        return ""
    share = 1 - beyond / known.size
    return f"Colours end at ±{four_digits(limit)}: {share:.1%} of |relevance| lies within."


def notes_of_channels(relevance: np.ndarray, shown: Sequence[int] | np.ndarray, limit: float) -> tuple[str, ...]:
    """Say that some channels of a map are left out of a figure, and that a colour stands for more than its scale."""
    left_out = len(shown) < len(relevance)
    notes = (f"The {len(shown)} of {len(relevance)} channels with most relevance.",) if left_out else ()
    clipped = clip_note(relevance[shown], limit)
    return (*notes, clipped) if clipped else notes


def short(text: str, most: int = 40) -> str:
    """Cut a text to `most` characters, with an ellipsis for the rest."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
