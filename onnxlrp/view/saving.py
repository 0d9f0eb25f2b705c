"""Files of results, written whole or not at all."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from onnxlrp.drafts import atomic_write
from onnxlrp.errors import InputError
from onnxlrp.interface import INNER, LEDGER_COLUMNS
from onnxlrp.printable import escaped
from onnxlrp.runtime.archive import contents, write_npz
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.view import pictures
from onnxlrp.view.page import page
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


def as_json(explanation: Explanation) -> dict[str, Any]:
    """Convert everything in an explanation to lists and numbers; NaN and infinity, which JSON lacks, become null."""
    ledger = explanation.ledger
    return {
        "target": plain(explanation.target),
        "score": plain(explanation.score),
        "base_value": plain(explanation.base_value),
        "raw_score": plain(explanation.raw_score),
        "columns": {name: list(names) for name, names in explanation.columns.items()},
        "relevance": {name: plain(value) for name, value in explanation.relevance.items()},
        "tokens": {name: [list(row.names) for row in rows] for name, rows in explanation.tokens.items()},
        **{field: {name: plain(v) for name, v in getattr(explanation, field).items()} for field in INNER},
        "interactions": plain(explanation.interactions),
        "outputs": {name: plain(value) for name, value in explanation.outputs.items()},
        "ledger": None if ledger is None else ledger_json(explanation),
    }


def ledger_json(explanation: Explanation) -> list[dict[str, Any]]:
    """Convert the ledger's rows to dictionaries; empty without a ledger."""
    ledger = explanation.ledger
    if ledger is None:
        return []
    keys = [column.replace(" ", "_") for column in LEDGER_COLUMNS]
    rows = zip(ledger.names, ledger.values, ledger.marked, strict=True)
    return [
        {"step": name, **dict(zip(keys, plain(row), strict=True)), "remainder": bool(mark)} for name, row, mark in rows
    ]


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


def _save_npz(material: Material, draft: Path) -> None:
    arrays = contents(material.explanation, material.names)
    for name, columns in material.explanation.columns.items():
        arrays.setdefault(f"{name}_columns", np.array(columns))
    write_npz(draft, arrays)


def _save_json(material: Material, draft: Path) -> None:
    draft.write_text(json.dumps(as_json(material.explanation), ensure_ascii=False) + "\n", encoding="utf-8")


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


def _save_csv(material: Material, draft: Path) -> None:
    """Write a row per sample, a column per entry of the explained inputs, then the explained class, base value and raw
    score where there are any."""
    head: list[str] = []
    blocks = []
    explanation = material.explanation
    for name, value in explanation.relevance.items():
        if value.ndim > 2 or value.ndim == 0:
            raise InputError(
                f"a .csv holds rows of features, but relevance of {name!r} is {list(value.shape)}: use .npz"
            )
        block = value.reshape(len(value), -1)
        known = list(explanation.columns.get(name, ()))
        if len(known) != block.shape[1]:
            known = [name] if block.shape[1] == 1 else [f"{name}[{index}]" for index in range(block.shape[1])]
        head += known
        blocks.append(block)
    target = explanation.target
    for title, values in (
        ("class", target if target is not None and target.shape == (len(blocks[0]),) else None),
        ("base_value", explanation.base_value),
        ("raw_score", explanation.raw_score),
    ):
        if values is not None:
            head.append(title if title not in head else f"{title}_1")
            blocks.append(values.reshape(len(values), -1))
    if len({len(block) for block in blocks}) > 1:
        raise InputError("the explained inputs differ in their number of rows: write .npz")
    with draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        columns = [column for block in blocks for column in block.T.tolist()]
        writer.writerows(zip(*columns, strict=True))


FORMATS: dict[str, Callable[[Material, Path], None]] = {
    ".png": _save_png,
    ".html": _save_html,
    ".npz": _save_npz,
    ".npy": _save_npy,
    ".json": _save_json,
    ".csv": _save_csv,
}
"""Every format of results by its suffix, with the function that writes it. The path that it gets is a draft's: `save`
puts the file in its place once it is whole."""


def plain(value: Any) -> Any:
    """Convert arrays, maps and lists to types that JSON has; NaN and infinity, which it lacks, become None."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            return plain(value.tolist())
        return value.tolist()
    if isinstance(value, np.generic):
        return plain(value.item())
    return value if np.isfinite(value) else None
