"""The description of an explained model in its `metadata_props`: the only thing that writer and reader share."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

_PREFIX = "onnxlrp."


@dataclasses.dataclass(frozen=True)
class Interface:
    """Names and meaning of what onnxlrp added to a model.

    Every name is the one really used in the file (a name that the source already had gets `_1` appended).
    """

    version: str
    composite: str
    output: str
    """The explained output."""
    source_sha256: str
    rules: tuple[str, ...] = ()
    relevance: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Explained input -> the output that holds its relevance."""
    relevance_at: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Inner value -> the output that holds its relevance."""
    target: str = "class"
    """"class", "token" or "weights"."""
    target_input: str | None = None
    """Input that takes the class, int64 [1] or [N] ([1, K] or [N, K] with K targets)."""
    position_input: str | None = None
    weights_input: str | None = None
    required: bool = False
    """True where target, position and weights are ordinary inputs without a default."""
    targets: int = 1
    batch_axis: int | None = 0
    """Axis of the explained output that counts samples; None: the output is of one sample."""
    class_axis: int | None = 1
    """Axis of the explained output that holds the classes; None: one score per sample."""
    output_shape: tuple[int | str | None, ...] | None = None
    """Shape of the explained output as it was found, whatever the file declares; None: not even the rank is known, or
    the file does not say it."""
    label_output: str | None = None
    """Output with the label of the class that is explained by default; None: the arg max of the explained output."""
    labels: tuple[int, ...] | tuple[str, ...] = ()
    """The labels of the classes, in their order, where there is such an output."""
    ledger: str | None = None
    """Output that holds the conservation ledger, float [steps, 5]."""
    steps: tuple[str, ...] = ()
    """Names of the ledger's rows."""
    marked: tuple[bool, ...] = ()
    """Rows whose bias column is the remainder: steps that do not conserve relevance locally."""
    score_is_output: bool = False
    """True where the explained score is the visible output itself, with no softmax or the like skipped; False where the
    file does not say so."""
    initial: str = "output"
    """"output": relevance starts from the score; "one": from 1."""
    seed: str = "score"
    """The composite's seed: "score", "positive" (max(0, score)) or "gradient"."""
    has_base: bool = False
    """True where relevance adds up to the score's distance from a base value, as that of trees does."""

    def to_metadata(self) -> dict[str, str]:
        """As `metadata_props`: text as it is, everything else as JSON, in a fixed order."""
        text = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            text[_PREFIX + field.name] = value if field.type == "str" else json.dumps(value, ensure_ascii=False)
        return text

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Interface | None:
        """The inverse of `to_metadata`; None where the model was not written by onnxlrp."""
        if _PREFIX + "version" not in metadata:
            return None
        values: dict = {}
        for field in dataclasses.fields(cls):
            text = metadata.get(_PREFIX + field.name)
            if text is None:
                continue
            value = text if field.type == "str" else json.loads(text)
            if isinstance(value, list):
                value = tuple(value)
            values[field.name] = value
        return cls(**values)
