"""Pictures of relevance: red speaks for the class, blue against it, white is zero."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from onnxlrp.view import shrinking

# ColorBrewer's RdBu from -1 through 0 to +1: both sides look equally strong, also to the colour-blind.
_STOPS = (-1.0, -0.5, 0.0, 0.5, 1.0)
_COLOURS = np.array([(5, 48, 97), (67, 147, 195), (255, 255, 255), (214, 96, 77), (140, 0, 26)], dtype=np.float64)
_INK = (30, 30, 30)
_PAPER = (255, 255, 255)
# A few single pixels may hold far more relevance than the rest: those are shown in full colour.
_QUANTILE = 0.995
_FEW = 64
_SIDE = 224
_LONG = 4
_STRIP = 1 << 20
"""Number of pixels that are coloured at a time, because that takes far more memory than the picture."""
_SHEET = 50_000_000


def to_map(relevance: np.ndarray, layout: str) -> np.ndarray:
    """Sum the relevance of a picture over its channels: the axes of `layout` ("NCHW", …) -> [N, H, W].

    Maps of more than 16 million pixels, or 8192 on a side, become smaller: see `shrinking`.
    """
    maps = relevance if layout.startswith("N") else relevance[None]
    channels = "C" in layout
    if channels:
        maps = np.moveaxis(maps, ("N" + layout.removeprefix("N")).index("C"), -1)
    return np.stack([shrinking.shrunk(one, channels) for one in maps])


def limit_of(relevance: np.ndarray) -> float:
    """Return the |relevance| to draw in full colour: nearly the largest, never 0."""
    strength = np.abs(relevance[np.isfinite(relevance)])
    if not strength.size:
        return 1.0
    return float(np.quantile(strength, _QUANTILE, method="higher")) or float(strength.max()) or 1.0


def colours(relevance: np.ndarray, limit: float | None = None) -> np.ndarray:
    """Colour relevance of any shape as uint8 [..., 3] on a symmetric scale of ±limit; NaN is grey."""
    limit = limit_of(relevance) if limit is None else limit
    flat = relevance.reshape(-1)
    rgb = np.empty((flat.size, 3), np.uint8)
    for start in range(0, flat.size, _STRIP):
        scaled = np.clip(flat[start : start + _STRIP] / limit, -1, 1)
        known = np.nan_to_num(scaled)
        part = np.stack([np.interp(known, _STOPS, _COLOURS[:, channel]) for channel in range(3)], axis=-1)
        part[np.isnan(scaled)] = 128
        rgb[start : start + _STRIP] = np.rint(part)
    return rgb.reshape(*relevance.shape, 3)


def paper_and_ink(relevance: float, limit: float) -> tuple[str, str]:
    """Return the background colour of a relevance and a text colour that is readable on it, as `#rrggbb`."""
    red, green, blue = (int(value) for value in colours(np.array(relevance), limit))
    ink = "#000000" if red * 0.3 + green * 0.6 + blue * 0.1 > 110 else "#ffffff"
    return f"#{red:02x}{green:02x}{blue:02x}", ink


def heatmap(relevance: np.ndarray, limit: float | None = None) -> Image.Image:
    """Draw relevance [H, W] as an RGB picture of that size."""
    return Image.fromarray(colours(relevance, limit))


def overlay(picture: Image.Image, relevance: np.ndarray, limit: float | None = None) -> Image.Image:
    """Lay relevance [H, W] over the picture in pale grey: the stronger it is, the more opaque."""
    height, width = relevance.shape
    grey = np.asarray(picture.convert("L").resize((width, height)))
    limit = limit_of(relevance) if limit is None else limit
    mixed = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP // width)
    for start in range(0, height, rows):
        strip = slice(start, start + rows)
        mixed[strip] = _mixed(grey[strip], relevance[strip], limit)
    return Image.fromarray(mixed)


def _mixed(grey: np.ndarray, relevance: np.ndarray, limit: float) -> np.ndarray:
    pale = 255 - (255 - grey[..., None].astype(np.float64)) * 0.4
    opacity = np.nan_to_num(np.clip(np.abs(relevance) / limit, 0, 1), nan=1.0)[..., None] ** 0.6
    return np.rint(pale * (1 - opacity) + colours(relevance, limit) * opacity)


def explained(picture: Image.Image, relevance: np.ndarray) -> Image.Image:
    """Lay relevance [H, W] over its picture, or show both apart if there are so few pixels that one would hide the
    other.

    Apart, a long picture lies above its map, any other beside it.
    """
    height, width = relevance.shape
    if min(height, width) >= _FEW:
        return enlarged(overlay(picture, relevance), _SIDE)
    both = [enlarged(one, _SIDE) for one in (picture.convert("RGB").resize((width, height)), heatmap(relevance))]
    gap = _SIDE // 16
    right, below = (0, both[0].height + gap) if width > _LONG * height else (both[0].width + gap, 0)
    joined = Image.new("RGB", (both[1].width + right, both[1].height + below), _PAPER)
    joined.paste(both[0], (0, 0))
    joined.paste(both[1], (right, below))
    return joined


def picture_of(array: np.ndarray) -> Image.Image:
    """Draw a model's own input [H, W] or [H, W, C] as a picture: its smallest value black, its largest white.

    An input of more than 16 million pixels, or 8192 on a side, becomes smaller: see `shrinking`.
    """
    planes = [array] if array.ndim == 2 else [array[..., k] for k in range(3 if array.shape[-1] == 3 else 1)]
    shown = [np.nan_to_num(shrinking.shrunk(one).astype(np.float64), posinf=0, neginf=0) for one in planes]
    low, high = min(float(one.min()) for one in shown), max(float(one.max()) for one in shown)
    pixels = [np.rint((one - low) * (255 / ((high - low) or 1))).astype(np.uint8) for one in shown]
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.stack(pixels, axis=-1))


def enlarged(picture: Image.Image, side: int) -> Image.Image:
    """Enlarge a picture by whole factors to at least `side` pixels high and wide, so that small inputs can be seen.

    A side that would become longer than 8192 pixels is enlarged by a smaller factor, or not at all.
    """
    factor = -(-side // min(picture.size))
    if factor <= 1:
        return picture
    width, height = (size * min(factor, max(1, shrinking.LONGEST // size)) for size in picture.size)
    return picture.resize((width, height), Image.Resampling.NEAREST)


def within(picture: Image.Image, side: int) -> Image.Image:
    """Shrink a picture if it is longer than `side` pixels."""
    if max(picture.size) <= side:
        return picture
    scale = side / max(picture.size)
    width, height = (max(1, round(size * scale)) for size in picture.size)
    return picture.resize((width, height), Image.Resampling.BOX)


def side_of_cells(count: int) -> int:
    """Return the longest side of a picture on a contact sheet of `count` pictures."""
    return max(_SIDE, math.isqrt(_SHEET // max(count, 1)))


@dataclasses.dataclass(frozen=True)
class Cell:
    """A picture of a contact sheet with the lines under it."""

    picture: Image.Image
    caption: str = ""


def contact_sheet(rows: Sequence[Sequence[Cell]], header: Sequence[str] = (), title: str = "") -> Image.Image:
    """Arrange pictures of any size in a grid, column heads above, captions below, the colour scale at the bottom.

    Pictures are shrunk if the sheet would grow beyond some 64 million pixels.
    """
    most = side_of_cells(len(rows) * max(map(len, rows)))
    rows = [[dataclasses.replace(cell, picture=within(cell.picture, most)) for cell in row] for row in rows]
    side = max(max(cell.picture.size) for row in rows for cell in row)
    count = max(len(row) for row in rows)
    gap = max(8, side // 24)
    text, head = _font(side / 15), _font(side / 13)
    line = round(text.size * 1.3)
    below = max(cell.caption.count("\n") + 1 if cell.caption else 0 for row in rows for cell in row) * line
    top = gap + (round(head.size * 2) if title else 0) + (round(head.size * 1.5) if header else 0)
    width = gap + count * (side + gap)
    sheet = Image.new("RGB", (width, top + len(rows) * (side + below + gap) + 2 * line + gap), _PAPER)
    draw = ImageDraw.Draw(sheet)
    if title:
        draw.text((gap, gap), _fitting(title, width - 2 * gap, head), _INK, head)
    for column, name in enumerate(header):
        place = (gap + column * (side + gap), top - round(head.size * 1.5))
        draw.text(place, _fitting(name, side, head), _INK, head)
    for index, row in enumerate(rows):
        y = top + index * (side + below + gap)
        for column, cell in enumerate(row):
            x = gap + column * (side + gap)
            fitted = cell.picture.convert("RGB")
            scale = side / max(fitted.size)
            if scale > 1:
                fitted = fitted.resize(
                    (round(fitted.width * scale), round(fitted.height * scale)), Image.Resampling.NEAREST
                )
            sheet.paste(fitted, (x, y))
            for number, words in enumerate(cell.caption.splitlines()):
                draw.text((x, y + side + 2 + number * line), _fitting(words, side, text), _INK, text)
    _scale_bar(sheet, draw, text, gap, sheet.height - gap - line)
    return sheet


def _scale_bar(sheet: Image.Image, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont, x: int, y: int) -> None:
    """Draw the scale of colours in one line."""
    height = round(font.size)
    left, right = "against the class ", " for the class"
    bar = heatmap(np.repeat(np.linspace(-1, 1, 12 * height)[None], height, axis=0), limit=1)
    draw.text((x, y), left, _INK, font)
    start = x + round(draw.textlength(left, font))
    sheet.paste(bar, (start, y + 2))
    draw.text((start + bar.width, y), right, _INK, font)


def _font(size: float) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(max(11, round(size)))
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's wheels carry FreeType and one font
    return font


def _fitting(words: str, width: int, font: ImageFont.FreeTypeFont) -> str:
    """Cut words with an ellipsis if they are wider than `width` pixels."""
    if font.getlength(words) <= width:
        return words
    while words and font.getlength(words + "…") > width:
        words = words[:-1]
    return words + "…"
