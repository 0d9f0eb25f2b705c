"""Recorder: makes the record of a file from the explanations that are written to it, one after the other."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from onnxlrp._version import __version__
from onnxlrp.array_hashes import ArrayHash, ArraySummary, hash_alone, summary_of
from onnxlrp.file_hashes import FileMark
from onnxlrp.runtime.circumstances import Circumstances
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.reading import ModelFile
from onnxlrp.runtime.record import Record, RecordedInput, RecordedModel

PACKAGES = ("onnx", "onnx-ir", "onnxscript", "numpy")
_NUMBERS = ("target", "position", "score", "base_value", "raw_score")


class Recorder:
    """Hashes and sums of all explanations of one file, which need not stay in memory."""

    def __init__(self) -> None:
        self._first: Explanation | None = None
        self._known: Circumstances | None = None
        self._hashes: dict[tuple[str, str], ArrayHash] = {}
        self._marks: dict[str, dict[FileMark, None]] = {}
        self._span: tuple[int, int] | None = None
        self._ledger: dict[str, float] | None = None
        self._masks: dict[str, list[np.ndarray]] = {}

    def add(self, explanation: Explanation) -> None:
        """Add an explanation; one that was put together by hand is in no record."""
        known = explanation.circumstances
        if known is None or explanation.interface is None:
            return
        if self._first is None:
            self._first, self._known = explanation, known
        for name in _NUMBERS:
            self._add("", name, getattr(explanation, name))
        for group in ("inputs", "relevance", "relevance_at", "outputs"):
            for name, value in getattr(explanation, group).items():
                self._add(group, name, value)
        if "weights" in known.varying:
            self._add("", "weights", np.asarray(known.asked["weights"]))
        for name, marks in known.files.items():
            self._marks.setdefault(name, {}).update(dict.fromkeys(marks))
        self._span = _joined_spans(self._span, known.samples)
        for name, mask in known.masks.items():
            self._masks.setdefault(name, []).append(np.asarray(mask))
        self._add_ledger(explanation)

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to record."""
        return self._first is None

    def hashed(self) -> dict[int, ArraySummary]:
        """Return the summaries of the arrays of the only explanation that was added, by the `id` of each."""
        first, groups = self._first, ("relevance", "relevance_at", "outputs")
        return {id(getattr(first, of)[name]): one.summary() for (of, name), one in self._hashes.items() if of in groups}

    def record(self, content_sha256: str = "", further: Sequence[Record] = ()) -> Record:
        """Make the record of everything that was added; `content_sha256` is the hash of the rest of the file."""
        assert self._first is not None and self._known is not None
        interface, known = self._first.interface, self._known
        assert interface is not None
        return Record(
            source=RecordedModel(interface.source_sha256, _name_of(known.model.origin), interface.source_weights),
            explained=explained_model(known.model),
            composite=interface.composite,
            rules=interface.rules,
            options=interface.options,
            output=interface.output,
            target_kind=interface.target,
            target_given="target" in known.asked,
            target=self._one("target"),
            position=self._one("position"),
            score=self._one("score"),
            base_value=self._one("base_value"),
            raw_score=self._one("raw_score"),
            weights=self._weights(),
            inputs={name: self._input(name, hashed) for name, hashed in self._group("inputs").items()},
            references={name: hash_alone(value) for name, value in known.references.items()},
            masks={name: summary_of(_one_mask(parts), values=True) for name, parts in self._masks.items()},
            relevance={name: hashed.summary() for name, hashed in self._group("relevance").items()},
            relevance_at={name: hashed.summary() for name, hashed in self._group("relevance_at").items()},
            outputs={name: hashed.summary() for name, hashed in self._group("outputs").items()},
            ledger=self._ledger,
            tokenizer=None if known.tokenizer is None else known.tokenizer.sha256(),
            batch_size=None if self._is_alone else known.batch_size,
            samples=self._span,
            ids=tuple(self._first.ids),
            versions=versions(),
            providers=known.providers,
            content_sha256=content_sha256,
            written=known.written,
            further=tuple(further),
        )

    @property
    def _is_alone(self) -> bool:
        """True for one batch of a run, or a single call; False for all batches in one file."""
        return self._hashes_count <= 1 and self._span is not None

    @property
    def _hashes_count(self) -> int:
        return max((hashed.count for hashed in self._hashes.values()), default=0)

    def _add(self, group: str, name: str, value: Any) -> None:
        if value is not None:
            self._hashes.setdefault((group, name), ArrayHash(numbers=group != "inputs")).add(value)

    def _add_ledger(self, explanation: Explanation) -> None:
        ledger = explanation.ledger
        if ledger is None:
            return
        arrived = sum(float(value.sum(dtype=np.float64)) for value in explanation.relevance.values())
        sums = {"seeds": ledger.seeds(arrived), **ledger.totals}
        before = self._ledger or dict.fromkeys(sums, 0.0)
        self._ledger = {name: before[name] + value for name, value in sums.items()}

    def _group(self, group: str) -> dict[str, ArrayHash]:
        return {name: hashed for (of, name), hashed in self._hashes.items() if of == group}

    def _one(self, name: str) -> ArraySummary | None:
        hashed = self._hashes.get(("", name))
        return None if hashed is None else hashed.summary(values=True)

    def _weights(self) -> ArraySummary | None:
        assert self._known is not None
        given = self._known.asked.get("weights")
        if ("", "weights") in self._hashes or given is None:
            return self._one("weights")
        return summary_of(np.asarray(given), values=True)

    def _input(self, name: str, hashed: ArrayHash) -> RecordedInput:
        assert self._first is not None
        files = tuple((_given_name(mark.path), mark.sha256()) for mark in self._marks.get(name, ()))
        pixels = {} if self._first.legend is None else self._first.legend.pixels
        return RecordedInput(hashed.summary(), files, pixels.get(name))


def explained_model(model: ModelFile) -> RecordedModel:
    """Describe an explained model by the hashes of its files."""
    weights = {name: sha256 for name, sha256 in model.hashes.items() if name}
    path = Path(model.source) if isinstance(model.source, str) and model.folder is None else None
    return RecordedModel(model.hashes.get(""), _name_of(path), weights)


@functools.cache
def versions() -> Mapping[str, str]:
    """List the versions of everything that numbers may depend on."""
    from onnxlrp.runtime.providers import onnxruntime

    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "onnxlrp": __version__,
        "onnxruntime": str(onnxruntime().__version__),
        **packages,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }


def _one_mask(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Join the masks of all batches; one that all samples share stays one."""
    shared = all(len(part) == 1 and np.array_equal(part, parts[0]) for part in parts)
    return parts[0] if shared else np.concatenate(parts)


def _joined_spans(first: tuple[int, int] | None, second: tuple[int, int] | None) -> tuple[int, int] | None:
    if first is None or second is None:
        return first or second
    return min(first[0], second[0]), max(first[1], second[1])


def _name_of(path: Path | None) -> str | None:
    return None if path is None else path.name


def _given_name(path: Path) -> str:
    """Name a file as it was given, if that leads into the folder where the program ran; else by its name alone, because
    other paths may tell names of users and projects."""
    pure = PurePath(path)
    return pure.name if pure.is_absolute() or ".." in pure.parts else pure.as_posix()


def recorder_of(*explanations: Explanation) -> Recorder:
    """Make a recorder that has got these explanations."""
    recorder = Recorder()
    for explanation in explanations:
        recorder.add(explanation)
    return recorder


def dated(explanation: Explanation) -> Explanation:
    """Note the date and time in an explanation, for the record of the file that it is written to."""
    known = explanation.circumstances
    if known is None:
        return explanation
    return dataclasses.replace(explanation, circumstances=dataclasses.replace(known, written=_now()))


def _now() -> str:
    """Return the date and time in UTC; those of SOURCE_DATE_EPOCH where builds must be reproducible."""
    fixed = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.datetime.now(datetime.UTC)
    if fixed.isascii() and fixed.isdigit():
        moment = datetime.datetime.fromtimestamp(int(fixed), datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
