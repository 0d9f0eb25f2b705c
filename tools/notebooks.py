"""Run the notebooks of docs/notebooks and keep what they show: `python -m tools.notebooks`.

Pictures are reduced to 256 colours, so that a notebook stays small; places of temporary files go.
"""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parents[1] / "docs" / "notebooks"
WIDTH = 1000
"""Largest width of a picture, in pixels."""


def main() -> None:
    """Run each notebook and write it again."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        book = run(path)
        for cell in book.cells:
            cell.metadata = {}
            for output in cell.get("outputs", ()):
                _reduce(output)
        nbformat.write(book, path)
        print(f"{path.name}: {path.stat().st_size / 1e3:.0f} kB")


def run(path: Path) -> nbformat.NotebookNode:
    """Run a notebook in its folder; nbclient's CellExecutionError says which cell fails."""
    book = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(book, timeout=300, kernel_name="python3", resources=where).execute()
    return book


def _reduce(output: nbformat.NotebookNode) -> None:
    if "text" in output:
        output.text = re.sub(r"\S*ipykernel_\d+/\d+\.py:\d+: ", "", output.text)
    data = output.get("data", {})
    if "image/png" in data:
        picture = Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB")
        picture.thumbnail((WIDTH, 10 * WIDTH))
        file = io.BytesIO()
        picture.quantize(256, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
        data["image/png"] = base64.b64encode(file.getvalue()).decode()


if __name__ == "__main__":
    main()
