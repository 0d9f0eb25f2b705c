"""Files of results, written whole or not at all."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from onnxlrp.drafts import atomic_write
from onnxlrp.errors import InputError
from onnxlrp.extras import optional
from onnxlrp.printable import escaped
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.view import pictures
from onnxlrp.view.page import page
from onnxlrp.view.save_explanation import WRITERS
from onnxlrp.view.summary import Sample, captions


@dataclasses.dataclass(frozen=True, eq=False)
class Material:
    """Everything that a file of results may show: an explanation, and what is known of the inputs that it explains."""

    explanation: Explanation
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The name of each input's relevance."""
    layouts: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    """The order of each input's axes, if it is a picture."""
    inputs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    seen: Mapping[str, Sequence[Image.Image]] = dataclasses.field(default_factory=dict)
    """The pictures themselves, if they came from files."""
    samples: Sequence[Sample] = ()
    """A summary of each sample, with its texts."""
    title: str = "Relevance"


def save(material: Material, path: Path) -> None:
    """Write an explanation in the format of the path's suffix, one of FORMATS.

    Raises InputError if the relevance does not fit the format.
    """
    check_suffix(path)
    with atomic_write(path) as draft:
        FORMATS[path.suffix.lower()](material, draft)


def check_suffix(path: Path) -> None:
    """Raise InputError if results cannot be written in the format of the path's suffix."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"'{path}': results are written as {', '.join(FORMATS)}, or to a folder, a name without suffix"
        )
    if path.suffix.lower() == ".parquet":
        optional("pyarrow", "a .parquet file")


def check_inputs(path: Path, explained: Collection[str]) -> None:
    """Raise InputError if the format of the path's suffix cannot hold the relevance of these inputs; called before the
    model runs."""
    if path.suffix.lower() == ".npy" and len(explained) != 1:
        raise InputError(f"a .npy holds one array, but {len(explained)} inputs are explained: write .npz")


def sheet(
    explanation: Explanation,
    layouts: Mapping[str, str | None],
    inputs: Mapping[str, Any],
    seen: Mapping[str, Sequence[Image.Image]],
) -> Image.Image:
    """Draw relevance over the picture: a single picture for one sample, a contact sheet for several."""
    name = next((name for name in explanation.relevance if layouts.get(name)), None)
    if name is None:
        other = ".html" if explanation.tokens else ".npz or .csv"
        raise InputError(f"a .png needs an explained input that is a picture, not {_shapes(explanation)}: "
                         f"write {other}")  # fmt: skip
    layout = str(layouts[name])
    relevance = explanation.relevance[name]
    if relevance.ndim == len(layout) + 1:  # K targets: K pictures per sample
        count = relevance.shape[1]
        relevance = relevance.reshape(-1, *relevance.shape[2:])
    else:
        count = 1
    samples = relevance if layout.startswith("N") else relevance[None]
    shown = list(seen.get(name, ())) or _own_pictures(np.asarray(inputs[name]), layout)
    side = pictures.side_of_cells(len(samples))
    overlays = []
    for index, one in enumerate(samples):  # one by one: maps of large pictures take far more memory than overlays
        (relevance_map,) = pictures.to_map(one, layout.removeprefix("N"))
        overlay = pictures.explained(shown[index // count], relevance_map)
        overlays.append(overlay if len(samples) == 1 else pictures.within(overlay, side))
    if len(overlays) == 1:
        return overlays[0]
    cells = [pictures.Cell(one, caption) for one, caption in zip(overlays, captions(explanation), strict=True)]
    return pictures.contact_sheet([cells[start : start + 4] for start in range(0, len(cells), 4)])


def _save_png(material: Material, draft: Path) -> None:
    sheet(material.explanation, material.layouts, material.inputs, material.seen).save(draft)


def _save_html(material: Material, draft: Path) -> None:
    if not any(sample.texts for sample in material.samples):
        shapes = _shapes(material.explanation)
        raise InputError(f"a .html needs an explained input that is text, not {shapes}: write .csv or .npz")
    draft.write_text(page(material.samples, material.title), encoding="utf-8")


def _shapes(explanation: Explanation) -> str:
    return ", ".join(f"{escaped(name)} {list(value.shape)}" for name, value in explanation.relevance.items())


def _own_pictures(array: np.ndarray, layout: str) -> list[Image.Image]:
    """Draw the input itself as pictures, if it did not come from picture files."""
    array = array if layout.startswith("N") else array[None]
    if "C" in layout:
        array = np.moveaxis(array, layout.index("C") + (0 if layout.startswith("N") else 1), -1)
    return [pictures.picture_of(one) for one in array]


def _save_npy(material: Material, draft: Path) -> None:
    relevance = material.explanation.relevance
    if len(relevance) != 1:
        raise InputError(f"a .npy holds one array, but {len(relevance)} inputs are explained: write .npz")
    # Written in memory first: numpy writes to a file through buffers of C, and would not notice a full disk.
    content = io.BytesIO()
    np.save(content, next(iter(relevance.values())), allow_pickle=False)
    draft.write_bytes(content.getbuffer())


def _save_data(material: Material, draft: Path) -> None:
    """Write the explanation itself, by the writer that `Explanation.save` has for the suffix."""
    inputs = material.explanation.inputs or material.inputs
    WRITERS[draft.suffix.lower()](dataclasses.replace(material.explanation, inputs=inputs), draft)


FORMATS: dict[str, Callable[[Material, Path], None]] = {
    ".png": _save_png,
    ".html": _save_html,
    ".npz": _save_data,
    ".npy": _save_npy,
    ".json": _save_data,
    ".csv": _save_data,
    ".parquet": _save_data,
}
"""Every format of results by its suffix, with the function that writes it. The path that it gets is a draft's: `save`
puts the file in its place once it is whole."""
