"""The logged case: finds the inputs that a record names, and runs the explained model on them as the record says."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.array_hashes import ArraySummary, hash_alone
from onnxlrp.errors import ExplanationWarning, InputError
from onnxlrp.file_hashes import FileMark
from onnxlrp.records.stored_numbers import target_in
from onnxlrp.runtime.cli_inputs import CliInputs, load
from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.files import Preprocess
from onnxlrp.runtime.named_columns import TABLE_FILES, read_table_file
from onnxlrp.runtime.record import Record


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """Arrays of all inputs, and what else is known of them."""

    arrays: Mapping[str, Any]
    tokens: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    references: Any = None


def named_files(record: Record, folders: Sequence[Path]) -> CliInputs | None:
    """Find the files that a record names for the inputs, by name and hash; None if one of them is not there."""
    found: dict[str, list[Path]] = {}
    for name, one in record.inputs.items():
        paths = [_found(file, sha256, folders) for file, sha256 in one.files]
        known = [path for path in paths if path is not None]
        if not known or len(known) < len(paths):
            return None
        found[name] = known
    return _as_inputs(found)


def _as_inputs(found: Mapping[str, Sequence[Path]]) -> CliInputs | None:
    """Give files by their inputs, or a table that fills several inputs as a whole."""
    every = {path for paths in found.values() for path in paths}
    if not every:
        return None
    if len(found) > 1 and len(every) == 1 and next(iter(every)).suffix.lower() in TABLE_FILES:
        return CliInputs([("", next(iter(every)))])
    return CliInputs([(name, path) for name, paths in found.items() for path in paths])


def _found(name: str, sha256: str | None, folders: Sequence[Path]) -> Path | None:
    """Find a file with a hash by its name in one of the folders, which no part of the name may lead out of."""
    parts = Path(name).parts
    if sha256 is None or Path(name).is_absolute() or ".." in parts:
        return None
    for folder in folders:
        for path in (folder / name, folder / parts[-1]):
            if path.is_file() and FileMark.of(path).sha256() == sha256:
                return path
    return None


def read_case(given: Any, reference: Any, record: Record, explainer: Explainer, model: Path) -> Case:
    """Read the inputs that were given, and perhaps a reference: files and texts of the command line, or values as a
    call takes them.

    Raises InputError if they do not fit the model.
    """
    how = next((one.preprocess for one in record.inputs.values() if one.preprocess), "auto")
    if isinstance(given, CliInputs):
        named = dataclasses.replace(given, ids=_ids_in(given, record))
        data = load(named, explainer.inputs, Preprocess.parse(how), model, explainer.columns)
        if isinstance(reference, CliInputs):
            specs = {name: explainer.inputs[name] for name, _ in reference.inputs if name in explainer.inputs}
            reference = load(reference, specs or explainer.inputs, Preprocess.parse(how)).arrays
        return Case(data.arrays, data.tokens, reference)
    prepared = explainer.prepare(given, [*record.ids] if _is_table(given) else (), how)
    return Case(prepared.feeds, prepared.tokens, reference)


def _is_table(given: Any) -> bool:
    return hasattr(given, "columns") or (isinstance(given, (str, Path)) and Path(given).suffix.lower() in TABLE_FILES)


def _ids_in(given: CliInputs, record: Record) -> list[str]:
    """List the columns of a table that identify its rows, by the record."""
    tables = [path for _, path in given.inputs if path.suffix.lower() in TABLE_FILES]
    if given.ids or len(given.inputs) != 1 or not tables:
        return list(given.ids)
    table = read_table_file(tables[0])
    return [] if table is None else [name for name in record.ids if name in table.columns]


def of_record(case: Case, record: Record) -> Case:
    """Cut the samples of a record out of all that were given, where it is of a part of a longer run."""
    if record.samples is None:
        return case
    part = slice(*record.samples)
    wanted = {name: one.array.shape for name, one in record.inputs.items()}
    longer = [name for name, array in case.arrays.items() if _is_longer(array, wanted.get(name))]
    arrays = {name: array[part] if name in longer else array for name, array in case.arrays.items()}
    tokens = {name: some[part] if name in longer else some for name, some in case.tokens.items()}
    return dataclasses.replace(case, arrays=arrays, tokens=tokens)


def _is_longer(array: Any, shape: tuple[int, ...] | None) -> bool:
    have = np.shape(array)
    return bool(shape and have) and len(have) == len(shape or ()) and have[0] > (shape or (0,))[0]


def same_arrays(case: Case, record: Record) -> dict[str, str]:
    """Compare the arrays of all inputs with those of the record; return a sentence for each input that differs."""
    wrong = {}
    for name, one in record.inputs.items():
        if name not in case.arrays:
            wrong[name] = "it is not given"
            continue
        summary = hash_alone(case.arrays[name])
        if summary != one.array:
            wrong[name] = f"another {_in_words(summary)} than the recorded {_in_words(one.array)}"
    return wrong


def _in_words(summary: ArraySummary) -> str:
    return f"{summary.dtype} {list(summary.shape)} with SHA-256 {summary.sha256[:12]}"


def run_again(case: Case, record: Record, explainer: Explainer, file: Path) -> list[Explanation]:
    """Explain the inputs of a case as the record says: the same target, in batches of the same size.

    Raises InputError if neither the record nor its file says what was asked.
    """
    asked = _asked(record, file)
    masks = {name: _values(mask, file, f"mask of {name!r}") for name, mask in record.masks.items()} or None
    if record.references and case.references is None:
        raise InputError("the samples were compared with a reference, which no record holds: give it with --reference")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExplanationWarning)
        if record.references:
            explanations = [explainer.compare(case.arrays, case.references, **asked)]
        elif record.batch_size is not None:
            explanations = list(explainer.map(dict(case.arrays), record.batch_size, channels=masks, **asked))
        else:
            explanations = [explainer(dict(case.arrays), channels=masks, **asked)]
    if len(explanations) == 1:
        return [dataclasses.replace(explanations[0], tokens=case.tokens)]
    return explanations


def _asked(record: Record, file: Path) -> dict[str, Any]:
    """Collect the arguments of the call that choose the target."""
    asked: dict[str, Any] = {}
    if record.target_given:
        asked["target"] = _values(record.target, file, "target")
    if record.position is not None:
        asked["position"] = _values(record.position, file, "position")
    if record.weights is not None:
        asked["weights"] = _values(record.weights, file, "weights")
    return asked


def _values(summary: ArraySummary | None, file: Path, name: str) -> np.ndarray:
    """Give the numbers of an argument, from the record or the file. Raises InputError if neither has them."""
    found = None
    if summary is not None and summary.values is not None:
        found = np.array(summary.values)
    elif name == "target":
        found = target_in(file)
    if summary is None or found is None or found.size != int(np.prod(summary.shape)):
        raise InputError(f"the {name} of the call has more numbers than a record holds")
    try:
        return found.astype(np.dtype(summary.dtype)).reshape(summary.shape)
    except (TypeError, ValueError) as error:
        raise InputError(f"the {name} of the call is no array of numbers in the record: {error}") from error
