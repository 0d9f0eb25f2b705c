"""Explanations of many batches in a folder: an .npz a batch, each written whole or not at all."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.runtime.archive import whole, write_npz

_ABOUT = "map.json"
_WORDS = {
    "model": "the model",
    "samples": "the number of samples",
    "batch_size": "batch_size",
    "inputs": "the inputs' names",
    "preprocess": "preprocess",
    "shared": "a target, weights or an input that all samples share",
    "tokenizer": "the tokenizer",
}


class Results(Mapping[str, np.ndarray]):
    """A folder that `Explainer.map` has written or is still writing, as arrays over all samples that are complete.

    `results["image_relevance"]` joins the batches in memory; `results.batches()` reads one after the other. Without
    onnxlrp: every file is a batch for `numpy.load`, named by its samples. Raises InputError where it is no such folder.
    """

    def __init__(self, folder: Any) -> None:
        self.folder = Path(folder)
        self._about = _read_about(self.folder)

    @property
    def samples(self) -> int:
        """How many samples there are once it is complete."""
        return int(self._about["samples"])

    @property
    def batch_size(self) -> int:
        """Samples in a file; the last may hold fewer."""
        return int(self._about["batch_size"])

    @property
    def done(self) -> int:
        """How many samples are there."""
        return sum(stop - start for start, stop in self._spans())

    @property
    def complete(self) -> bool:
        """Whether every sample is there."""
        return self.done == self.samples

    def batches(self) -> Iterator[dict[str, np.ndarray]]:
        """The arrays of each batch that is complete, in order."""
        for span in self._spans():
            with np.load(self.part(*span), allow_pickle=False) as content:
                yield {name: content[name] for name in content.files}

    def __getitem__(self, name: str) -> np.ndarray:
        parts = []
        for start, stop in self._spans():
            with np.load(self.part(start, stop), allow_pickle=False) as content:
                if name not in content.files:
                    raise KeyError(name)
                parts.append(content[name])
            if parts[-1].ndim == 0 or len(parts[-1]) not in (stop - start, 1):
                raise InputError(f"axis 0 of {name!r} does not count samples: read it by batches()")
        if not parts:
            raise KeyError(name)
        try:
            return np.concatenate(parts)
        except ValueError as error:
            shapes = sorted({str(list(part.shape[1:])) for part in parts})
            raise InputError(
                f"{name!r} differs in shape between batches ({', '.join(shapes[:5])}): read it by batches()"
            ) from error

    def __iter__(self) -> Iterator[str]:
        spans = self._spans()
        if spans:
            with np.load(self.part(*spans[0]), allow_pickle=False) as content:
                yield from content.files

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"Results('{self.folder}', {self.done} of {self.samples} samples: {', '.join(self)})"

    def part(self, start: int, stop: int) -> Path:
        """The file of a batch."""
        return self.folder / f"{start:09}-{stop:09}.npz"

    def _spans(self) -> list[tuple[int, int]]:
        """The samples of each batch that is there."""
        size = self.batch_size
        there = {path.name for path in self.folder.glob("*.npz")}
        spans = [(start, min(start + size, self.samples)) for start in range(0, self.samples, size)]
        return [span for span in spans if self.part(*span).name in there]


def open_store(folder: Path, about: Mapping[str, Any]) -> Results:
    """The folder to write to: a new one, or one that was begun with the same model, data and options.

    Raises InputError, naming what differs, where it was begun with others.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"'{folder}' is a file: results of many batches go to a folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        folder.mkdir(parents=True, exist_ok=True)
        with whole(folder / _ABOUT) as draft:
            draft.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return Results(folder)
    found = _read_about(folder)
    other = [words for key, words in _WORDS.items() if found.get(key) != about.get(key)]
    if other:
        raise InputError(
            f"'{folder}' was begun otherwise, here differ: {', '.join(other)}. Call it as before to go on, or write "
            "to another folder"
        )
    return Results(folder)


def is_done(results: Results, span: tuple[int, int], fingerprint: str) -> bool:
    """Whether a batch is complete. Raises InputError where other data were explained in its place."""
    path = results.part(*span)
    try:
        with zipfile.ZipFile(path) as archive:
            known = archive.comment.decode()
    except FileNotFoundError:
        return False
    except zipfile.BadZipFile as error:
        raise InputError(f"'{path}' is damaged: remove it, and it is computed again") from error
    if known != fingerprint:
        raise InputError(
            f"'{path}' explains other data or another target than samples {span[0]} to {span[1] - 1} are now: remove "
            "it, and it is computed again, or write to another folder"
        )
    return True


def write(results: Results, span: tuple[int, int], fingerprint: str, arrays: Mapping[str, np.ndarray]) -> None:
    """One batch, whole or not at all."""
    with whole(results.part(*span)) as draft:
        write_npz(draft, arrays, compressed=False, comment=fingerprint)


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
        return {**about, "samples": int(about["samples"]), "batch_size": int(about["batch_size"])}
    except FileNotFoundError as error:
        raise InputError(f"'{folder}' is no folder that Explainer.map has written to: it has no {_ABOUT}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{folder / _ABOUT}' is damaged: {error}") from error
