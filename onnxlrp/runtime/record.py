"""Record: the statement in a file of results about what it explains, and how that was computed."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxlrp.array_hashes import ArraySummary
from onnxlrp.errors import InputError

KEY = "onnxlrp.record"
"""Name of the record within a file: of a text chunk of PNG, an entry of NPZ and Parquet, an element of HTML and SVG."""
SCHEMA = "onnxlrp.record/1"
"""Name and version of the form of records; `record.schema.json` beside this module describes it."""
SCHEMA_FILE = Path(__file__).with_name("record.schema.json")


@dataclasses.dataclass(frozen=True)
class RecordedModel:
    """A model, by the SHA-256 of its file and of the files of its weights."""

    sha256: str | None
    """SHA-256 of the file; None if it had changed by the time that the record was written."""
    file: str | None = None
    """Name of the file; None if the model was in memory, or if the name is not known."""
    weights: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    """SHA-256 of each file that holds weights, by its place in the model's folder."""


@dataclasses.dataclass(frozen=True)
class RecordedInput:
    """The value of one input: the array that the model was fed, and the files that it was read from."""

    array: ArraySummary
    files: tuple[tuple[str, str | None], ...] = ()
    """Name and SHA-256 of each file; None for one that had changed since it was read."""
    preprocess: str | None = None
    """Scale of the pixels of pictures."""


@dataclasses.dataclass(frozen=True)
class Record:
    """All that a file says of the explanation in it: hashes, options, target, versions and sums, but no data.

    `docs/record.md` explains each field, and `record.schema.json` is the JSON Schema of the form that `to_json` writes.

    ```python
    from onnxlrp.records import read_record

    explainer({"image": x}, target=1).save("explanation.json")
    read_record("explanation.json").source.sha256
    ```
    """

    source: RecordedModel
    """Model that was converted."""
    explained: RecordedModel
    """Explained model that ran."""
    composite: str
    rules: tuple[str, ...]
    options: Mapping[str, Any]
    """Further options of the conversion that were not the defaults."""
    output: str
    """Name of the explained output."""
    target_kind: str
    target_given: bool
    """True if the call chose the target, False if it is the predicted one."""
    target: ArraySummary | None
    position: ArraySummary | None
    weights: ArraySummary | None
    score: ArraySummary | None
    base_value: ArraySummary | None
    raw_score: ArraySummary | None
    inputs: Mapping[str, RecordedInput]
    references: Mapping[str, ArraySummary]
    masks: Mapping[str, ArraySummary]
    """Masks of the channels that relevance passed, by the inner value."""
    relevance: Mapping[str, ArraySummary]
    relevance_at: Mapping[str, ArraySummary]
    """Relevance of the inner values that the conversion named."""
    outputs: Mapping[str, ArraySummary]
    ledger: Mapping[str, float] | None
    """Totals of the ledger: seeds, bias, epsilon and stopped."""
    tokenizer: str | None
    batch_size: int | None
    samples: tuple[int, int] | None
    ids: tuple[str, ...]
    """Names of the columns that identify the samples."""
    versions: Mapping[str, str]
    providers: tuple[str, ...]
    content_sha256: str = ""
    """SHA-256 of everything in the file but the record."""
    written: str | None = None
    """Date and time of writing, in UTC; None unless they were asked for."""
    further: tuple[Record, ...] = ()
    """Records of further explanations in the same file: other composites of a report, other parts of a long run."""

    def to_json(self) -> dict[str, Any]:
        """Convert to values that JSON has."""
        return {"schema": SCHEMA, **_plain(self)}

    def to_text(self) -> str:
        """Write it as one line of JSON that is plain ASCII, so that it fits every place in a file."""
        return json.dumps(self.to_json(), ensure_ascii=True, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, ArraySummary):
        value = value.to_json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def parse_record(text: str, place: str) -> Record:
    """Read a record from its text; `place` names its file in messages.

    Raises InputError if it is no record, or one of a later form.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"the record in {place} is no JSON: {error}") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        named = content.get("schema") if isinstance(content, dict) else None
        raise InputError(f"the record in {place} is of the form {named!r:.60}, and this onnxlrp reads {SCHEMA!r}")
    try:
        return _record_of(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"the record in {place} is damaged: {what}") from error


def _record_of(content: Mapping[str, Any]) -> Record:
    """Build a record from JSON. Raises KeyError, TypeError or ValueError where an entry is missing or of another
    type."""
    values = {field.name: content[field.name] for field in dataclasses.fields(Record)}
    for name in ("source", "explained"):
        values[name] = _model_of(values[name])
    values["inputs"] = {name: _input_of(one) for name, one in _pairs(values["inputs"])}
    for name in ("references", "masks", "relevance", "relevance_at", "outputs"):
        values[name] = {key: _summary_of(one) for key, one in _pairs(values[name])}
    for name in ("target", "position", "weights", "score", "base_value", "raw_score"):
        values[name] = None if values[name] is None else _summary_of(values[name])
    for name in ("rules", "providers", "ids"):
        values[name] = tuple(_typed(one, str) for one in _typed(values[name], list))
    for name in ("options", "versions"):
        _typed(values[name], dict)
    for name in ("composite", "output", "target_kind", "content_sha256"):
        _typed(values[name], str)
    for name, kind in (("target_given", bool), ("batch_size", int), ("tokenizer", str), ("written", str)):
        _optional(values[name], kind)
    if values["ledger"] is not None:
        values["ledger"] = {name: _number(one) for name, one in _pairs(values["ledger"])}
    values["samples"] = None if values["samples"] is None else tuple(_typed(one, int) for one in values["samples"])
    values["further"] = tuple(_record_of(one) for one in values["further"])
    return Record(**values)


def _model_of(content: Mapping[str, Any]) -> RecordedModel:
    weights = {name: _optional(sha256, str) for name, sha256 in _pairs(content["weights"])}
    return RecordedModel(_optional(content["sha256"], str), _optional(content["file"], str), weights)


def _input_of(content: Mapping[str, Any]) -> RecordedInput:
    files = tuple((_typed(name, str), _optional(sha256, str)) for name, sha256 in content["files"])
    return RecordedInput(_summary_of(content["array"]), files, _optional(content["preprocess"], str))


def _summary_of(content: Mapping[str, Any]) -> ArraySummary:
    shape = tuple(_typed(size, int) for size in content["shape"])
    sums = [_number(content.get(name)) for name in ("sum", "absolute_sum")]
    values = None if content.get("values") is None else tuple(map(_number, content["values"]))
    return ArraySummary(_typed(content["dtype"], str), shape, _typed(content["sha256"], str), sums[0], sums[1], values)


def _number(value: Any) -> Any:
    """Check a number, or null in the place of one that is not finite."""
    if value is not None and type(value) not in (int, float):
        raise TypeError(f"{value!r:.60} is no number")
    return value


def _optional(value: Any, kind: type) -> Any:
    return value if value is None else _typed(value, kind)


def _pairs(value: Any) -> Any:
    return _typed(value, dict).items()


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r:.60} is no {kind.__name__}")
    return value
