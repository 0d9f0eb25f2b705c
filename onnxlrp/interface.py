"""Interface: the description of an explained model in its `metadata_props`, shared by its writer and its reader."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any

from onnxlrp.reprs import cut, some

__all__ = ["Interface"]

_PREFIX = "onnxlrp."

INNER = ("relevance_at", "coefficients_at", "values_at")
"""The fields that name outputs by inner values."""
LEDGER_COLUMNS = ("arrives", "passed on", "bias", "epsilon", "stopped")
"""The columns of the conservation ledger; from the third on they hold what does not travel on."""


@dataclasses.dataclass(frozen=True)
class Interface:
    """Names and meaning of what onnxlrp added to a model.

    Every name is the one really used in the file (a name that the source already had gets `_1` appended). The interface
    is written into the file's metadata, and can be read from there without onnxruntime:

    ```python
    import onnx

    metadata = {entry.key: entry.value for entry in onnx.load("model.lrp.onnx").metadata_props}
    onnxlrp.Interface.from_metadata(metadata).relevance  # {"image": "image_relevance"}
    ```
    """

    version: str
    """Version of onnxlrp that wrote the model."""
    composite: str
    """Composite, as text that `convert` takes."""
    output: str
    """Name of the explained output."""
    source_sha256: str
    """SHA-256 of the source's file, or of its serialisation if it was given as an object."""
    rules: tuple[str, ...] = ()
    """Overrides, each as `pattern=rule`."""
    relevance: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Outputs that hold relevance, by the explained input."""
    reduce: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Reductions of relevance by the explained input, as text that `convert` takes; inputs that it does not name have
    relevance in their own shape."""
    relevance_indices: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Outputs that hold the places of the most relevant elements, int64 in the shape of that relevance, by the
    explained input. A place counts the elements of one sample after the other parts of the reduction; -1 stands for
    none, where a sample has fewer elements."""
    channel_axes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Axis that holds channels, of each input whose relevance is reduced and that has one."""
    relevance_at: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Outputs that hold relevance, by the inner value."""
    unbatched: tuple[str, ...] = ()
    """Inputs whose relevance is reduced and that have no axis of samples: they are one sample, for which the reduced
    relevance has an axis of length 1."""
    stops_at: tuple[str, ...] = ()
    """Inner values at which relevance ends, where no input is explained."""
    coefficients_at: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Outputs that hold coefficients, by the inner value: relevance is the coefficient times the value."""
    values_at: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Outputs that hold inner values themselves, such as those whose coefficients are outputs too."""
    mask_inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Inputs that take the masks of inner values, float [1, channels] or [N, channels], by the inner value."""
    mask_axes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Axis of each such value that its mask runs along."""
    mask_sample_axes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Axis of each such value that counts samples, where it has one."""
    reference_inputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Inputs that take the reference which samples are compared with, by the explained input."""
    reference_scores: str | None = None
    """Output with the scores at the reference, in the layout of the explained output."""
    target: str = "class"
    """Kind of target: "class", "token" or another one of `onnxlrp.targets`."""
    target_input: str | None = None
    """Input that chooses the target. For a class it is int64 [1] or [N], or [1, K] or [N, K] with K targets."""
    position_input: str | None = None
    """Input that takes the position of a token target, int64 [1] or [N]."""
    weights_input: str | None = None
    """Input that takes the weights of a weighted target, float, which broadcast to the explained output."""
    explain_input: str | None = None
    """Input that switches relevance on and off, bool [1]; None if relevance is always computed."""
    required: bool = False
    """True if explain, target, position and weights are ordinary inputs without a default."""
    targets: int = 1
    """Number of targets K that one run explains for each sample."""
    batch_axis: int | None = 0
    """Axis of the explained output that counts samples; None if the output is of one sample."""
    class_axis: int | None = 1
    """Axis of the explained output that holds the classes; None if there is one score per sample."""
    output_shape: tuple[int | str | None, ...] | None = None
    """Actual shape of the explained output, whatever the file declares; None if not even the rank is known, or if the
    file does not say it."""
    label_output: str | None = None
    """Output with the label of the class that is explained by default; None stands for the arg max of the explained
    output."""
    labels: tuple[int, ...] | tuple[str, ...] = ()
    """Labels of the classes, in their order, if there is such an output."""
    interactions: str | None = None
    """Output that holds the interactions of columns, float [N, columns, columns]."""
    interaction_columns: tuple[str, ...] = ()
    """Names of the columns of the interactions in their order: an input of one column by its name, the others as
    `x[0]`, `x[1]`."""
    ledger: str | None = None
    """Output that holds the conservation ledger, float [steps, 5]."""
    steps: tuple[str, ...] = ()
    """Names of the ledger's rows."""
    marked: tuple[bool, ...] = ()
    """True for rows whose bias column is the remainder: steps that do not conserve relevance locally."""
    score_is_output: bool = False
    """True if the explained score is the visible output itself, with no softmax or the like skipped; False if the file
    does not say so."""
    initial: str = "output"
    """Start of relevance: "output" for the score, "one" for 1."""
    seed: str = "score"
    """Seed of the composite: "score", "positive" (max(0, score)) or "gradient"."""
    background_rows: int = 0
    """Number of background rows, or of centres of them, that samples are compared with by a tree ensemble's values."""
    has_base: bool = False
    """True if relevance adds up to the score's distance from a base value, as that of trees does."""
    base_values: tuple[float, ...] | None = None
    """Base value of each score of one sample, in the order of the explained output's axes after the batch: relevance
    adds up to the score less this number. None if the model has none, if it differs from sample to sample, or if the
    file does not say it."""
    time_axes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Axis that holds time, 1 or 2, of each input that is a series [N, ., .], as far as convolutions and recurrent
    layers tell it."""
    source_weights: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """SHA-256 of each file beside the source that holds weights of it, by the file's name."""
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Arguments of `convert` that were not the defaults, besides the composite and the rules; rows of data by their
    SHA-256."""

    def __repr__(self) -> str:
        where = some(self.relevance or self.stops_at)
        what = f"{cut(self.composite)} explains {cut(self.output)!r} at {where}"
        return f"<Interface of onnxlrp {cut(self.version, 20)}: {what}>"

    @property
    def added_inputs(self) -> dict[str, str]:
        """Inputs that choose the target; the key of each is the argument of an explainer's call that it takes."""
        names = {"target": self.target_input, "position": self.position_input, "weights": self.weights_input}
        return {argument: name for argument, name in names.items() if name is not None}

    @property
    def names_of_added_inputs(self) -> tuple[str, ...]:
        """Names of all inputs that the source does not have."""
        switch = () if self.explain_input is None else (self.explain_input,)
        chosen = (*self.reference_inputs.values(), *self.mask_inputs.values())
        return (*self.added_inputs.values(), *chosen, *switch)

    def to_metadata(self) -> dict[str, str]:
        """Convert to `metadata_props`: strings unchanged, everything else as JSON, in a fixed order."""
        text = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            text[_PREFIX + field.name] = value if field.type == "str" else json.dumps(value, ensure_ascii=False)
        return text

    @staticmethod
    def is_in(metadata: Mapping[str, str]) -> bool:
        """Decide whether onnxlrp wrote a model with this metadata."""
        return _PREFIX + "version" in metadata

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Interface | None:
        """Read the interface back from metadata; None if onnxlrp did not write the model.

        Raises ValueError, which names the entry, if an entry is missing, is no JSON or has a value that no model has.
        """
        known = {field.name: _PREFIX + field.name for field in dataclasses.fields(cls)}
        if not any(key in metadata for key in known.values()):
            return None
        missing = [known[name] for name in _NEEDED if known[name] not in metadata]
        if missing:
            raise ValueError(f"it lacks {missing[0]}")
        kinds = typing.get_type_hints(cls)
        values = {name: _read(metadata[key], key, kinds[name]) for name, key in known.items() if key in metadata}
        interface = cls(**values)
        interface._check()
        return interface

    def _check(self) -> None:
        """Raise ValueError if values are impossible, or contradict each other."""
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{_PREFIX}{name} is {getattr(self, name)!r:.80}, not {' or '.join(choices)}")
        axes = [axis for axis in (self.batch_axis, self.class_axis) if axis is not None]
        if any(not 0 <= axis < _AXES for axis in axes) or len({*axes}) < len(axes):
            raise ValueError(f"the axes of samples and classes are {self.batch_axis} and {self.class_axis}")
        if not self.relevance and not self.stops_at:
            raise ValueError(f"{_PREFIX}relevance names no input")
        if not {*self.stops_at} <= {*self.relevance_at, *self.coefficients_at}:
            raise ValueError(f"{_PREFIX}stops_at is {self.stops_at!r:.80}")
        if self.targets < 1 or (self.targets > 1 and self.target_input is None):
            raise ValueError(f"{_PREFIX}targets is {self.targets}")
        if any(axis not in (1, 2) for axis in self.time_axes.values()):
            raise ValueError(f"the axes of time are {self.time_axes!r:.80}")
        if len(self.steps) != len(self.marked):
            raise ValueError(f"the ledger has {len(self.steps)} steps, but marks for {len(self.marked)}")


def _read(text: str, key: str, kind: Any) -> Any:
    """Read an entry whose field has the type `kind`. Raises ValueError if it is of another type."""
    if kind is str:
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{key} is no JSON: {error}") from error
    value = tuple(value) if isinstance(value, list) else value
    if not _is_a(value, kind):
        raise ValueError(f"{key} is {text!r:.80}, which is no {kind.__name__ if isinstance(kind, type) else kind}")
    return value


def _is_a(value: Any, kind: Any) -> bool:
    """Decide whether a value from JSON is of a type such as `str | None` or `tuple[int, ...]`."""
    if kind is Any:
        return True
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return any(_is_a(value, part) for part in parts)
    if origin is tuple:
        return isinstance(value, tuple) and all(_is_a(one, parts[0]) for one in value)
    if origin is Mapping:
        return isinstance(value, dict) and all(_is_a(one, parts[1]) for one in value.values())
    return type(value) is kind


_NEEDED = ("version", "composite", "output", "source_sha256", "relevance")
_CHOICES = {
    "initial": ("output", "one"),
    "seed": ("score", "positive", "gradient"),
}
_AXES = 64
"""Most axes that an array of numpy has."""
