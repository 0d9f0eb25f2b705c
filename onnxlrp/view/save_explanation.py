"""Files of one explanation: `Explanation.save` writes in the format of the path's suffix."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.printable import escaped
from onnxlrp.runtime.archive import contents, unused, write_npz
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.recorder import recorder_of
from onnxlrp.view.explanation_json import as_json
from onnxlrp.view.explanation_table import table_of
from onnxlrp.view.figure_files import write_gif, write_html, write_png, write_svg
from onnxlrp.view.parquet import write_parquet
from onnxlrp.view.record_files import metadata_of, recorded_write
from onnxlrp.view.table_file import write_csv


def save_explanation(explanation: Explanation, path: str | os.PathLike[str]) -> None:
    """Write an explanation in the format of the path's suffix, whole or not at all.

    Raises InputError if there is no such format, or if the explanation does not fit it.
    """
    place = Path(path)
    writer = WRITERS.get(place.suffix.lower())
    if writer is None:
        raise InputError(f"'{escaped(place)}': an explanation is written as {', '.join(WRITERS)}")
    with recorded_write(place, recorder_of(explanation)) as draft:
        writer(explanation, draft)


def _save_npz(explanation: Explanation, draft: Path) -> None:
    interface = explanation.interface
    names = {name: f"{name}_relevance" for name in explanation.relevance}
    arrays = contents(explanation, names if interface is None else {**names, **interface.relevance})
    if explanation.score is not None:
        arrays.setdefault("score", explanation.score)
    for name, columns in explanation.columns.items():
        arrays.setdefault(f"{name}_columns", np.array(columns))
    for name, scale in {} if explanation.legend is None else explanation.legend.pixels.items():
        arrays.setdefault(f"{name}_preprocess", np.array(scale))
    for name, values in explanation.ids.items():
        arrays[unused(name, arrays)] = np.asarray(values)
    write_npz(draft, arrays)


def _save_json(explanation: Explanation, draft: Path) -> None:
    draft.write_text(json.dumps(as_json(explanation), ensure_ascii=False) + "\n", encoding="utf-8")


def _save_csv(explanation: Explanation, draft: Path) -> None:
    write_csv([table_of(explanation)], draft)


def _save_parquet(explanation: Explanation, draft: Path) -> None:
    write_parquet([table_of(explanation)], draft, functools.partial(metadata_of, recorder_of(explanation)))


Writer = Callable[[Explanation, Path], None]
WRITERS: dict[str, Writer] = {
    ".csv": _save_csv,
    ".json": _save_json,
    ".npz": _save_npz,
    ".parquet": _save_parquet,
    ".png": write_png,
    ".svg": write_svg,
    ".gif": write_gif,
    ".html": write_html,
}
"""Every format of an explanation by its suffix, with the function that writes it to a draft: `save_explanation` puts
the file in its place once it is whole."""
