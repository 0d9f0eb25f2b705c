"""Files that show an explanation: .png, .svg, .gif and .html, whatever kind of data it explains."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from onnxlrp.extras import optional
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.view import summary
from onnxlrp.view.class_labels import labels_of_classes
from onnxlrp.view.figures.scene import scene_of
from onnxlrp.view.page import page

_FIGURE = "a figure of an explanation"


def write_png(explanation: Explanation, path: Path) -> None:
    """Write a figure; where matplotlib is not installed, pictures with their relevance laid over them."""
    if importlib.util.find_spec("matplotlib") is None:
        from onnxlrp.view.figures.overlay_sheet import overlay_sheet

        sheet = overlay_sheet(scene_of(explanation))
        if sheet is not None:
            sheet.save(path, format="PNG")
            return
    write_svg(explanation, path)


def write_svg(explanation: Explanation, path: Path) -> None:
    """Write a figure as .svg, or in the other format of the path's suffix."""
    optional("matplotlib", _FIGURE)
    from onnxlrp.view.figures.show import write_figure

    write_figure(explanation, path)


def write_gif(explanation: Explanation, path: Path) -> None:
    """Write a sequence of pictures and its relevance, moving."""
    optional("matplotlib", _FIGURE)
    from onnxlrp.view.figures.show import write_animation

    write_animation(explanation, path)


def write_html(explanation: Explanation, path: Path) -> None:
    """Write texts as text, coloured by relevance; anything else as a page with its figure."""
    if explanation.tokens:
        samples = summary.summarise(explanation, explanation.inputs, labels_of_classes(explanation), words=True)
        path.write_text(page(samples, "Relevance"), encoding="utf-8")
        return
    optional("matplotlib", _FIGURE)
    from onnxlrp.view.figures.show import write_page

    write_page(explanation, path)
