"""Figures of the gallery: `python -m tools.gallery` runs the code of docs/gallery.md and draws each figure again.

A block of code that is followed by a picture must assign `figure`, which is written there. Blocks that begin with
"```py" need what the repository does not hold; where that is missing, their figures stay as they are.
"""

from __future__ import annotations

import io
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from onnxlrp.errors import ExplanationWarning, OnnxLrpError
from onnxlrp.view import pictures

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "gallery.md"
MOST = 200_000
"""Most bytes of a figure's file."""
_DOTS = (140, 120, 100, 85, 70)
_BLOCK = re.compile(r"^```(py(?:thon)?)\n(.*?)^```\n(?:\n!\[.*?\]\((.*?)\)$)?", re.MULTILINE | re.DOTALL)


def main() -> int:
    """Draw every figure; returns 1 if some could not be drawn."""
    os.chdir(ROOT)
    warnings.simplefilter("ignore", ExplanationWarning)
    names: dict[str, Any] = {}
    missing = 0
    for kind, code, place in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        try:
            exec(compile(code, str(PAGE), "exec"), names)
        except (ImportError, OnnxLrpError, NameError, FileNotFoundError) as error:
            if kind != "py":
                raise
            print(f"left as it is: {place}: {error}", file=sys.stderr)
            missing = 1
            continue
        if place:
            content = compressed(names["figure"])
            (PAGE.parent / place).write_bytes(content)
            print(f"{place}: {len(content):,} bytes")
    return missing


def compressed(figure: Any) -> bytes:
    """Draw a figure in at most 256 colours, as fine as fits into MOST bytes."""
    content = b""
    for dots in _DOTS:
        drawn, written = io.BytesIO(), io.BytesIO()
        figure.savefig(drawn, format="png", dpi=dots)
        _in_few_colours(Image.open(drawn).convert("RGB")).save(written, "PNG", optimize=True)
        content = written.getvalue()
        if len(content) <= MOST:
            break
    return content


def _in_few_colours(picture: Image.Image) -> Image.Image:
    """Reduce a figure to 256 colours: a quarter of them are those of the scale, which no photograph may crowd out."""
    own = picture.quantize(191, dither=Image.Dither.NONE).getpalette() or []
    scale = pictures.colours(np.linspace(-1, 1, 65), 1.0).reshape(-1).tolist()
    palette = Image.new("P", (1, 1))
    palette.putpalette([*own[: 3 * 191], *scale])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


if __name__ == "__main__":
    sys.exit(main())
