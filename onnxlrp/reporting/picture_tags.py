"""Pictures inside the page of a report."""

from __future__ import annotations

import base64
import io

from PIL import Image

from onnxlrp.reporting.html_text import html_of
from onnxlrp.view import pictures
from onnxlrp.view.figures.picture_maps import pictured
from onnxlrp.view.figures.scene import Scene

_COLOURS = 255
"""Colours of a picture's palette: half the bytes, and hardly a difference to the eye."""
_WIDEST = 900
"""Most pixels of a picture along its longer side."""
_OWN = 224
"""Pixels along the longer side of a sample's own picture."""


def picture_tag(picture: Image.Image, alt: str) -> str:
    """Write a picture as HTML that holds its bytes; `alt` describes it for those who do not see it."""
    small = io.BytesIO()
    shown = picture.convert("RGB")
    shown.thumbnail((_WIDEST, _WIDEST))
    shown.quantize(_COLOURS).save(small, format="PNG", optimize=True)
    width, height = shown.size
    source = base64.b64encode(small.getvalue()).decode()
    return f'<img width="{width}" height="{height}" alt="{html_of(alt)}" src="data:image/png;base64,{source}">'


def picture_input(scene: Scene) -> str | None:
    """Name the first explained input that is a picture; None if there is none, or if it is a sequence of pictures."""
    name = next((name for name, kind in scene.kinds.items() if kind == "picture"), None)
    return None if name is None or scene.relevance(name, 0).ndim > 3 else name


def map_limit(scene: Scene, name: str, sample: int) -> float:
    """Return the relevance at which the colours of a picture's map end."""
    return float(pictures.limit_of(pictured(scene, name, sample).raw))


def own_picture(scene: Scene, sample: int) -> str:
    """Show the picture of a sample itself; empty if the sample is no picture."""
    name = picture_input(scene)
    if name is None:
        return ""
    shown = Image.fromarray(pictured(scene, name, sample).picture)
    scale = _OWN / max(shown.size)
    how = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    shown = shown.resize((max(1, round(shown.width * scale)), max(1, round(shown.height * scale))), how)
    return f'<div class="own">{picture_tag(shown, f"Sample {sample}")}</div>'
