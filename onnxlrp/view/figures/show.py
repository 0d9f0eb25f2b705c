"""Entrance of figures: `Explanation.plot` and the files .png, .svg, .gif and .html."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from onnxlrp.errors import InputError
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.view.figures.canvas import NotebookFigure, style
from onnxlrp.view.figures.draw import figure_kind, figure_of
from onnxlrp.view.figures.options import Options
from onnxlrp.view.figures.scene import scene_of
from onnxlrp.view.figures.sequence_figure import animation

_DOTS = 200.0
"""Dots an inch of a .png, unless it became longer than _LONGEST."""
_LONGEST = 6000
_FRAME = 120
"""Milliseconds that a frame of an animation stands, where no sampling rate says it."""
_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 2rem auto; padding: 0 1rem; max-width: 75rem; background: #fff; }}
img {{ max-width: 100%; height: auto; }}
</style>
<img alt="{title}" src="data:image/png;base64,{content}">
</html>
"""


def plot(
    explanation: Explanation, kind: str | None, inputs: Sequence[str], labels: Sequence[str], options: Options
) -> NotebookFigure:
    """Draw the figure of an explanation; see `Explanation.plot`."""
    return figure_of(scene_of(explanation, labels), options, kind, inputs)


def write_figure(explanation: Explanation, path: Path) -> None:
    """Write the figure of an explanation as .png or .svg, by the suffix."""
    save_figure(plot(explanation, None, (), (), Options()), path, path.suffix.lower().removeprefix("."))


def write_page(explanation: Explanation, path: Path) -> None:
    """Write the figure of an explanation as one HTML file that needs nothing from elsewhere."""
    figure = plot(explanation, None, (), (), Options())
    content = io.BytesIO()
    save_figure(figure, content, "png")
    title = escape(str(figure.get_suptitle()) or "Relevance")
    path.write_text(_PAGE.format(title=title, content=base64.b64encode(content.getvalue()).decode()), encoding="utf-8")


def write_animation(explanation: Explanation, path: Path) -> None:
    """Write a sequence of pictures beside its relevance as a moving .gif.

    Raises InputError if no explained input is a sequence of pictures.
    """
    scene, options = scene_of(explanation), Options()
    name = next((name for name in explanation.relevance if figure_kind(scene, name, options) == "sequence"), None)
    if name is None:
        raise InputError("a .gif needs an explained input that is a sequence of pictures: write .png")
    first, *others = animation(scene, name, options)
    first.save(path, format="GIF", save_all=True, append_images=others, duration=_FRAME, loop=0)


def save_figure(figure: NotebookFigure, place: Any, form: str) -> None:
    """Write a figure to a path or stream as "png" or "svg", the same bytes every time."""
    dots = min(_DOTS, _LONGEST / max(figure.get_size_inches()))
    with style():
        figure.savefig(place, format=form, dpi=dots, metadata={"Date": None} if form == "svg" else {"Software": None})


def thumbnail(explanation: Explanation) -> bytes:
    """Draw the figure of an explanation as a small .png, for a notebook's display of the object."""
    content = io.BytesIO()
    with style():
        plot(explanation, None, (), (), Options()).savefig(content, format="png", dpi=60)
    return content.getvalue()
