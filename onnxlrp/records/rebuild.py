"""Rebuilding: converts a source again with the options of a record, and compares the bytes."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from onnxlrp.convert import convert
from onnxlrp.errors import InputError
from onnxlrp.explained import Explained
from onnxlrp.file_hashes import sha256_of
from onnxlrp.recorded_options import ELSEWHERE
from onnxlrp.rule_overrides import parse_override
from onnxlrp.runtime.reading import open_model
from onnxlrp.runtime.record import Record, RecordedModel


def rebuild(record: Record, source: Any, background: Any = None) -> Explained:
    """Convert a source as a record says.

    No file that the record names is opened. Raises InputError if the record says too little or what this version does
    not know, and errors as `convert` does.
    """
    if record.composite.endswith(".toml"):
        raise InputError(f"{record.composite!r:.80} is no composite that a record names")
    if any(rule.startswith("predicate=") for rule in record.rules):
        raise InputError("a rule was chosen by a function of Python, which no record holds")
    rules = [parse_override(rule) for rule in record.rules]
    options = _options(record.options)
    if "background" in record.options:
        options["background"] = _background(record.options["background"], background)
    return convert(source, record.composite, rules=rules, **options)


def _options(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Check the options of a conversion. Raises InputError for one that this version does not know."""
    known = {*inspect.signature(convert).parameters} - {*ELSEWHERE}
    options = {name: value for name, value in recorded.items() if name != "background"}
    unknown = [name for name in options if name not in known]
    if unknown:
        raise InputError(f"this onnxlrp knows no option {unknown[0]!r:.60} of a conversion")
    for name, value in options.items():
        if isinstance(value, str) and value.startswith("<"):
            raise InputError(f"the option {name} was an object of Python, {value:.60}, which no record holds")
    return options


def _background(told: Any, rows: Any) -> Any:
    if rows is None:
        raise InputError("the conversion took rows of data (background), which no record holds: give them")
    clusters = told.get("kmeans") if isinstance(told, Mapping) else None
    return rows if clusters is None else (f"kmeans={clusters}", rows)


def rebuilt_hashes(explained: Explained, recorded: RecordedModel) -> dict[str, str | None]:
    """Hash a rebuilt model as the recorded one was hashed: by the name "" its file, by their names those of weights.

    Raises InputError if the weights that the recorded file shares with its source cannot be found.
    """
    if recorded.file is None:
        return dict(open_model(explained).hashes)
    if recorded.weights and [*recorded.weights] != [f"{recorded.file}.data"]:
        return _shared_hashes(explained, recorded)
    with tempfile.TemporaryDirectory(prefix="onnxlrp-") as folder:
        path = Path(folder) / PurePosixPath(recorded.file).name
        explained.save(path)
        return dict(open_model(path).hashes)


def _shared_hashes(explained: Explained, recorded: RecordedModel) -> dict[str, str | None]:
    """Hash a model that refers to the weights of its source from the folder where these have their recorded names."""
    import hashlib

    own = list(explained.weight_files.values())
    for location in recorded.weights:
        parts = PurePosixPath(location).parts
        for path in own:
            if path.parts[-len(parts) :] == parts:
                folder = Path(*path.parts[: -len(parts)])
                content = explained.shared_content(folder / str(recorded.file))
                found = {name: sha256_of(folder / name) for name in recorded.weights if (folder / name) in own}
                return {"": hashlib.sha256(content).hexdigest(), **found}
    raise InputError(f"no file of weights of the source lies at {next(iter(recorded.weights))!r:.80}")
