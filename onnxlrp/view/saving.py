"""Files of results, written whole or not at all."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.extras import optional
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.recorder import recorder_of
from onnxlrp.view.page import page
from onnxlrp.view.record_files import recorded_write
from onnxlrp.view.save_explanation import WRITERS
from onnxlrp.view.summary import Sample


@dataclasses.dataclass(frozen=True, eq=False)
class Material:
    """Everything that a file of results may show: an explanation, and what is known of the inputs that it explains."""

    explanation: Explanation
    inputs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    samples: Sequence[Sample] = ()
    """A summary of each sample, with its texts."""
    title: str = "Relevance"


def save(material: Material, path: Path) -> None:
    """Write an explanation in the format of the path's suffix, one of FORMATS.

    Raises InputError if the relevance does not fit the format.
    """
    check_suffix(path)
    with recorded_write(path, recorder_of(material.explanation)) as draft:
        FORMATS[path.suffix.lower()](material, draft)


def check_suffix(path: Path) -> None:
    """Raise InputError if results cannot be written in the format of the path's suffix."""
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"'{path}': results are written as {', '.join(FORMATS)}, or to a folder, a name without suffix"
        )
    if path.suffix.lower() == ".parquet":
        optional("pyarrow", "a .parquet file")


def check_inputs(path: Path, explained: Collection[str], specs: Mapping[str, TensorSpec]) -> None:
    """Raise InputError if the format of the path's suffix cannot hold the relevance of these inputs; called before the
    model runs. `specs` are the declarations of the model's inputs."""
    if path.suffix.lower() == ".npy" and len(explained) != 1:
        raise InputError(f"a .npy holds one array, but {len(explained)} inputs are explained: write .npz")
    shapes = [specs[name].shape for name in explained if name in specs]
    if path.suffix.lower() == ".gif" and not any(shape is None or len(shape) == _AXES_OF_SEQUENCES for shape in shapes):
        raise InputError("a .gif needs an explained input that is a sequence of pictures: write .png")


_AXES_OF_SEQUENCES = 5
"""Rank of sequences of pictures, [N, channels, frames, height, width] or [N, frames, channels, height, width]."""


def _save_html(material: Material, draft: Path) -> None:
    """Write texts as they were asked for, by token or by word; anything else as `Explanation.save` does."""
    if any(sample.texts for sample in material.samples):
        draft.write_text(page(material.samples, material.title), encoding="utf-8")
    else:
        _save_data(material, draft)


def _save_npy(material: Material, draft: Path) -> None:
    relevance = material.explanation.relevance
    if len(relevance) != 1:
        raise InputError(f"a .npy holds one array, but {len(relevance)} inputs are explained: write .npz")
    if material.explanation.relevance_indices:
        raise InputError("a .npy holds one array, but the most relevant elements have places too: write .npz or .csv")
    # Written in memory first: numpy writes to a file through buffers of C, and would not notice a full disk.
    content = io.BytesIO()
    np.save(content, next(iter(relevance.values())), allow_pickle=False)
    draft.write_bytes(content.getbuffer())


def _save_data(material: Material, draft: Path) -> None:
    """Write the explanation itself, by the writer that `Explanation.save` has for the suffix."""
    inputs = material.explanation.inputs or material.inputs
    WRITERS[draft.suffix.lower()](dataclasses.replace(material.explanation, inputs=inputs), draft)


FORMATS: dict[str, Callable[[Material, Path], None]] = {
    **dict.fromkeys(WRITERS, _save_data),
    ".html": _save_html,
    ".npy": _save_npy,
}
"""Every format of results by its suffix, with the function that writes it. The path that it gets is a draft's: `save`
puts the file in its place once it is whole."""
