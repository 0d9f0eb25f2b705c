"""Picture of words by their relevance for the README: `python tools/readme/sentences.py`, after making the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import onnxlrp
from onnxlrp.view.pictures import colours, heatmap
from onnxlrp.view.summary import summarise
from onnxlrp.view.tokens import Piece, limit_of_texts

MODEL = Path(__file__).parents[2] / "models" / "minilm_similarity"
PAIRS = [
    ("The cat sleeps on the warm windowsill.", "A kitten is napping in the sun."),
    ("The bank raised its interest rates.", "We had a picnic on the bank of the river."),
]
WIDTH, LINE, GAP, MARGIN = 620, 40, 26, 16
FONT, SMALL = ImageFont.load_default(24), ImageFont.load_default(16)
GREY = (110, 110, 110)


def draw_text(draw: ImageDraw.ImageDraw, y: int, pieces: Sequence[Piece], limit: float) -> None:
    """Draw one text in a line, each piece on its colour."""
    x = float(MARGIN)
    for piece in pieces:
        x += draw.textlength(piece.gap, FONT)
        width = draw.textlength(piece.text, FONT)
        paper = tuple(int(value) for value in colours(np.array(piece.relevance), limit))
        draw.rectangle((x, y, x + width, y + 31), fill=paper)
        draw.text((x, y + 2), piece.text, "white" if sum(paper) < 330 else "black", FONT)
        x += width


def draw_scale(sheet: Image.Image, draw: ImageDraw.ImageDraw, y: int) -> None:
    """Draw the scale of colours."""
    bar = heatmap(np.repeat(np.linspace(-1, 1, 160)[None], 14, axis=0), limit=1)
    draw.text((MARGIN, y), "speaks against", GREY, SMALL)
    x = MARGIN + round(draw.textlength("speaks against ", SMALL))
    sheet.paste(bar, (x, y + 4))
    draw.text((x + bar.width, y), " for: the similarity", GREY, SMALL)


def main() -> None:
    explained = onnxlrp.convert(MODEL / "minilm_similarity.onnx")
    explainer = onnxlrp.Explainer(explained, tokenizer=MODEL / "tokenizer.json")
    first, second = ([pair[side] for pair in PAIRS] for side in (0, 1))
    samples = summarise(explainer({"first": first, "second": second}), {})
    height = 2 * MARGIN + len(samples) * (3 * LINE + GAP) + 10
    sheet = Image.new("RGB", (WIDTH, height), "white")
    draw = ImageDraw.Draw(sheet)
    y = MARGIN
    for sample in samples:
        draw.text((MARGIN, y + 8), f"similarity {sample.score:.2f}", GREY, SMALL)
        limit = limit_of_texts(list(sample.texts.values()))
        for number, pieces in enumerate(sample.texts.values(), 1):
            draw_text(draw, y + number * LINE - 4, pieces, limit)
        y += 3 * LINE + GAP
    draw_scale(sheet, draw, y - 6)
    sheet.quantize(256).save(Path(__file__).with_name("sentences.png"), optimize=True)


if __name__ == "__main__":
    main()
