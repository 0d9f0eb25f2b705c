"""Sheet of pictures with their relevance laid over them, drawn by Pillow where matplotlib is not installed."""

from __future__ import annotations

from PIL import Image

from onnxlrp.view import pictures
from onnxlrp.view.figures.picture_maps import laid_over, pictured
from onnxlrp.view.figures.scene import Scene

_SIDE = 224
"""Least side of a picture in pixels."""


def overlay_sheet(scene: Scene) -> Image.Image | None:
    """Draw the relevance of the first input that is a picture: a single picture in its own size for one sample, a
    contact sheet for several; None if no input is a picture."""
    name = next((name for name, kind in scene.kinds.items() if kind == "picture"), None)
    if name is None or scene.relevance(name, 0).ndim > 3:
        return None
    places = [(sample, k) for sample in range(scene.samples) for k in range(scene.targets)]
    if len(places) == 1:
        return explained_picture(scene, name, 0, 0)
    side = pictures.side_of_cells(len(places))
    cells = [pictures.Cell(pictures.within(explained_picture(scene, name, *place), side), scene.heading(*place))
             for place in places]  # fmt: skip
    return pictures.contact_sheet([cells[start : start + 4] for start in range(0, len(cells), 4)])


def explained_picture(scene: Scene, name: str, sample: int, k: int) -> Image.Image:
    """Lay the relevance of one sample over its picture; a small picture stands beside its map."""
    one = pictured(scene, name, sample, k)
    if one.is_small:
        return pictures.explained(Image.fromarray(one.picture), one.raw)
    return pictures.enlarged(Image.fromarray(laid_over(one, pictures.limit_of(one.raw))), _SIDE)
