"""Verification: finds the source of an explanation, builds and runs it again, and says what of its record holds."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxlrp.errors import InputError, InvalidModelError, OnnxLrpError
from onnxlrp.explained import Explained
from onnxlrp.file_hashes import sha256_of
from onnxlrp.records.compared_numbers import Comparing, compare_run
from onnxlrp.records.find_source import FoundSource, as_source, find_source
from onnxlrp.records.logged_case import Case, named_files, of_record, read_case, run_again, same_arrays
from onnxlrp.records.rebuild import rebuild, rebuilt_hashes
from onnxlrp.records.stored_numbers import is_last
from onnxlrp.records.verification import Findings, State, Verification
from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.providers import CPU, CUDA, onnxruntime
from onnxlrp.runtime.record import Record
from onnxlrp.runtime.recorder import versions
from onnxlrp.view.record_files import FoundRecord, find_record

TOLERANCE = 1e-3
"""Largest difference of relevance, relative to the largest of an input, that another version or provider may cause."""
_WRITERS = ("onnxlrp", "onnx", "onnx-ir", "onnxscript")
"""Packages whose version decides the bytes of an explained model."""


def verify(
    path: str | os.PathLike[str],
    model: str | os.PathLike[str] | None = None,
    inputs: Any = None,
    *,
    reference: Any = None,
    background: Any = None,
    tolerance: float | None = None,
    run: bool = True,
) -> Verification:
    """Verify the record of a file of results: build the explained model again, run the logged case, and compare.

    Numbers must be equal to the last bit where onnxlrp, onnxruntime, the platform and the provider are those of the
    record and the provider is the CPU; elsewhere within `tolerance`.

    Parameters
    ----------
    path
        The file of results, or the `.record.json` beside it.
    model
        The source. Default: the model with the recorded hash beside the file or in the current folder.
    inputs
        The inputs, as a call of `Explainer` takes them. Default: the files that the record names, if they lie beside
        the file or in the current folder and have the recorded hashes.
    reference
        The reference of `Explainer.compare`, if the explanation was compared with one.
    background
        The rows of data that the conversion took, if it took some.
    tolerance
        The largest difference of relevance, relative to the largest absolute relevance of an input. Default: bits must
        be equal where they can be, and 1e-3 elsewhere.
    run
        False builds the model, but does not run it, so that no inputs are needed. Default: True.

    Returns
    -------
    Verification
        A finding for each statement; `ok` is True if all were checked and hold.

    Raises
    ------
    InputError
        The file has no record, or the inputs do not fit the model.

    Examples
    --------
    ```python
    from onnxlrp.records import verify

    explainer({"image": x}, target=1).save("explanation.npz")
    verification = verify("explanation.npz", "model.onnx", {"image": x})
    print(verification)
    ```
    """
    found = find_record(Path(path))
    findings = Findings()
    _check_file(found, findings)
    _check_versions(found.record, findings)
    work = _Work(found, None if model is None else Path(model), inputs, reference, background, tolerance, run)
    source = _check_source(work, findings)
    every = [("", found.record), *((_named(one, found.record), one) for one in found.record.further)]
    row: int | None = 0
    for prefix, record in every:
        part = Findings(prefix)
        row = _check_one(work, record, source, part, row)
        findings.found += part.found
    if row and not is_last(found.file, row):
        findings.add("numbers in the file", "differs", f"it has other rows than the {row:,} that its record is of")
    return Verification(tuple(findings.found))


@dataclasses.dataclass(frozen=True, eq=False)
class _Work:
    """Everything that was given to verify a record with."""

    found: FoundRecord
    model: Path | None
    inputs: Any
    reference: Any
    background: Any
    tolerance: float | None
    run: bool
    explainers: dict[str, Explainer] = dataclasses.field(default_factory=dict)
    """Explainers of the models that were built so far, by what their records say: parts of a run share one."""
    cases: dict[str, Case] = dataclasses.field(default_factory=dict)
    """The inputs that were read last, by the files that they were read from: parts of a run may share them."""

    @property
    def folders(self) -> list[Path]:
        """Folders in which files are looked for: that of the results, the current one, that of the model."""
        beside = [] if self.model is None else [self.model.parent]
        return [self.found.file.parent, Path.cwd(), *beside]


def _check_file(found: FoundRecord, findings: Findings) -> None:
    holds = found.content_sha256 == found.record.content_sha256
    yes, no = "nothing in it has changed since it was written", "its content is not what was written"
    findings.compare("file", holds, yes, no)
    if found.record.written is not None:
        findings.add("date", "note", f"written at {found.record.written}, by the clock of that machine")


def _check_versions(record: Record, findings: Findings) -> None:
    here = versions()
    other = [name for name in record.versions if here.get(name) != record.versions[name]]
    if not other:
        findings.add("versions", "holds", f"onnxlrp {here['onnxlrp']}, onnxruntime {here['onnxruntime']}, as recorded")
    for name in other:
        findings.add(
            "versions", "note", f"recorded with {name} {record.versions[name]}, verified with {here.get(name)}"
        )


def _check_source(work: _Work, findings: Findings) -> FoundSource | None:
    """Find the source, and compare its hash and those of its weights; None if it is not the recorded one."""
    recorded = work.found.record.source
    sha256 = str(recorded.sha256)
    if work.model is None:
        source = find_source(sha256, work.folders)
        if source is None:
            reason = f"no model with SHA-256 {sha256[:12]}… lies beside the file or here: give it with --model"
            findings.add("source", "not checked", reason)
            return None
    else:
        if not work.model.is_file():
            words = "'{}' is a folder, not a model" if work.model.is_dir() else "there is no file '{}'"
            raise InvalidModelError(words.format(work.model))
        source = as_source(work.model, sha256)
        if source is None:
            words = f"'{work.model}' is another model than the recorded one, of SHA-256 {sha256[:12]}…"
            findings.add("source", "differs", words)
            return None
    findings.add("source", "holds", f"'{source.path}' has the recorded SHA-256 {sha256[:12]}…")
    return source if _same_weights(recorded.weights, source.path.resolve().parent, findings) else None


def _same_weights(recorded: Mapping[str, str | None], folder: Path, findings: Findings) -> bool:
    """Compare the files of the source's weights with the record."""
    same = True
    for name, sha256 in recorded.items():
        path = folder / name
        leads_out = not path.resolve().is_relative_to(folder)
        here = None if leads_out or not path.is_file() else sha256_of(path)
        no = "there is no such file beside the model" if here is None else "the file beside the model is another one"
        same &= findings.compare(f"weights {name!r}", here == sha256, "the file has the recorded SHA-256", no)
    return same


def _named(record: Record, first: Record) -> str:
    """Name a further record in a file: by its samples if they are others than the first one's, else by its
    composite."""
    if record.samples is not None and record.samples != first.samples:
        return f"samples {record.samples[0]} to {record.samples[1] - 1}, "
    return f"{record.composite}, "


def _check_one(
    work: _Work, record: Record, source: FoundSource | None, findings: Findings, row: int | None
) -> int | None:
    """Check one record: conversion, inputs, and the numbers of a run, which stand in the file from `row` on.

    Returns the row after them; None if nothing ran, so that the place of further numbers is not known.
    """
    later = ["inputs", "relevance"] if work.run else []
    if source is None:
        findings.skip(["explained model", *later], "the recorded source is needed for that")
        return None
    key = repr((record.explained, record.composite, record.rules, record.options, record.providers))
    if key not in work.explainers:
        explained = _check_rebuilt(work, record, source, findings)
        if explained is None or not work.run:
            findings.skip(later if explained is None else [], "the explained model is needed for that")
            return None
        work.explainers[key] = Explainer(explained, _providers(record, findings))
    explainer = work.explainers[key]
    case = _check_inputs(work, record, explainer, source.path, findings)
    if case is None:
        findings.skip(["relevance"], "the recorded inputs are needed for that")
        return None
    try:
        explanations = run_again(case, record, explainer, work.found.file)
    except OnnxLrpError as error:
        findings.add("relevance", "not checked", f"the logged case does not run: {error}")
        return None
    comparing = Comparing(record, explainer, work.tolerance, TOLERANCE, is_same_machine(record, explainer.providers))
    file = None if row is None else work.found.file
    end = compare_run(comparing, explanations, file, findings, row or 0)
    return None if row is None else end


def _check_rebuilt(work: _Work, record: Record, source: FoundSource, findings: Findings) -> Explained | None:
    """Convert the source again, and compare bytes; other versions may write other ones."""
    try:
        explained = rebuild(record, source.model(), work.background)
        hashes = rebuilt_hashes(explained, record.explained)
    except OnnxLrpError as error:
        state: State = "not checked" if isinstance(error, InputError) and "background" in record.options else "differs"
        findings.add("explained model", state, f"it cannot be built as recorded: {error}")
        return None
    recorded = {"": record.explained.sha256, **record.explained.weights}
    changed = [name for name in _WRITERS if versions().get(name) != record.versions.get(name)]
    about = f"composite {record.composite}" + (f", rules {', '.join(record.rules)}" if record.rules else "")
    if hashes == recorded:
        findings.add("explained model", "holds", f"the source and the {about} give the same bytes again")
    elif record.explained.sha256 is None:
        findings.add("explained model", "note", "its file had changed when the record was written, so it has no hash")
    elif changed:
        words = f"other bytes, as another version of {', '.join(changed)} may write them; the numbers decide"
        findings.add("explained model", "note", words)
    else:
        findings.add("explained model", "differs", f"the source and the {about} give another model")
    return explained


def _providers(record: Record, findings: Findings) -> Sequence[str] | None:
    """Choose the recorded providers, or those of this machine, and say so."""
    if record.providers[:1] == (CUDA,) or not record.providers:
        return None  # CUDA as `Explainer` sets it up, where it works
    available = onnxruntime().get_available_providers()
    missing = [name for name in record.providers if name not in available]
    if missing:
        findings.add("provider", "note", f"recorded on {missing[0]}, which this machine lacks")
        return None
    return list(record.providers)


def _check_inputs(work: _Work, record: Record, explainer: Explainer, model: Path, findings: Findings) -> Case | None:
    """Read the inputs, and compare them with the record; None if they are not at hand, or others."""
    given = work.inputs
    if given is None:
        given = named_files(record, work.folders)
    if given is None:
        files = [name for one in record.inputs.values() for name, _ in one.files]
        named = f" ({', '.join(files[:3])})" if files else ""
        reason = f"the recorded files{named} are not beside the results: give them with --input"
        findings.add("inputs", "not checked", reason if files else "they were no files: give them with --input")
        return None
    key = repr(given.inputs) if work.inputs is None else ""
    if key not in work.cases:
        work.cases.clear()
        work.cases[key] = read_case(given, work.reference, record, explainer, model)
    case = of_record(work.cases[key], record)
    wrong = same_arrays(case, record)
    for name in record.inputs:
        yes = "the array has the recorded SHA-256"
        findings.compare(f"input {name!r}", name not in wrong, yes, wrong.get(name, ""))
    return None if wrong else case


def is_same_machine(record: Record, providers: Sequence[str]) -> bool:
    """Decide whether numbers must be equal to the last bit: one version of everything, on the CPU."""
    same = dict(record.versions) == dict(versions())
    return same and tuple(providers) == record.providers == (CPU,)
