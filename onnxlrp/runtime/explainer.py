"""Running an explained model: arrays in, relevance out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxlrp.errors import InvalidModelError
from onnxlrp.interface import Interface
from onnxlrp.runtime import inputs as arrays
from onnxlrp.runtime import providers as sessions
from onnxlrp.runtime import text
from onnxlrp.runtime.ledger import Ledger
from onnxlrp.runtime.reading import open_model
from onnxlrp.runtime.targets import Target


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """What one call found out."""

    relevance: dict[str, np.ndarray]
    """Per explained input, in its shape ([N, K, ...] with K targets)."""
    outputs: dict[str, Any]
    """The model's own outputs, unchanged."""
    relevance_at: dict[str, np.ndarray]
    """Per inner value that `convert(relevance_at=...)` named."""
    target: np.ndarray | None
    """The classes that were explained, int64 [N] (or [N, K]); None for a weighted target.

    Where none was given: the largest of the explained output, first on ties. (The model itself compares the scores
    before a final softmax or sigmoid; the two can differ only where that is saturated to equal values.)
    """
    score: np.ndarray | None
    """The explained output at `target`, same shape; None for a weighted target."""
    ledger: Ledger | None
    """Where relevance was absorbed; None where the model was converted without `ledger`."""
    tokens: Mapping[str, Sequence[text.Tokens]] = dataclasses.field(default_factory=dict)
    """Per input that was given as text (or as ids, where a tokenizer was given too): its tokens, one entry a sample."""
    position: np.ndarray | None = None
    """Of a token target: where the explained scores are, int64 [N]."""


class Explainer:
    """A session on an explained model.

    `model` is a path, bytes, an `onnx.ModelProto` or the result of `onnxlrp.convert`. `providers=None` runs on CUDA
    where it works (in full float32, without TF32) and else on the CPU; a list is given to onnxruntime as it is.
    `tokenizer`, for texts: a tokenizer.json, a vocab.txt or a `tokenizers.Tokenizer`; None: the file beside the model.
    Raises InvalidModelError where the model was not written by onnxlrp or cannot be loaded.
    """

    def __init__(self, model: Any, providers: Sequence[Any] | None = None, tokenizer: Any = None) -> None:
        self._file = open_model(model)
        self._tokenizer = tokenizer
        if self._file.interface is None:
            name = self._file.source if isinstance(self._file.source, str) else "MODEL"
            raise InvalidModelError(
                f"{self._file.place} is not an explained model; write one with\n"
                f"  onnxlrp convert {name} -o OUT.onnx\nor onnxlrp.convert(...)"
            )
        self.interface: Interface = self._file.interface
        """Names and meaning of what onnxlrp added."""
        self._session = sessions.create_session(self._file.source, providers)

    @property
    def inputs(self) -> dict[str, arrays.Port]:
        """The model's own inputs: name, type, shape."""
        return self._file.inputs

    @property
    def outputs(self) -> dict[str, arrays.Port]:
        """The model's own outputs: name, type, shape."""
        added = self._added()
        return {name: port for name, port in self._file.outputs.items() if name not in added}

    @property
    def explained_output(self) -> str:
        """The output that is explained (of a ZipMap: its maps)."""
        return self._file.explained

    @property
    def providers(self) -> list[str]:
        """Where it runs, in order of preference."""
        return self._session.get_providers()

    def __call__(
        self, inputs: Mapping[str, Any], target: Any = None, position: Any = None, weights: Any = None
    ) -> Explanation:
        """Explain one batch.

        `inputs` maps names to arrays, or an input of token ids to a list of texts (pairs of texts as tuples): then the
        inputs that go with it (attention_mask, …) need not be given. `target` is a class, or one per sample ([N]; [K]
        or [N, K] with K targets); None or -1: the predicted class. `position` (token targets) likewise, -1: the last
        (None: of a text the last token, not the padding behind it). `weights` (weighted targets) must broadcast to the
        explained output. Raises InputError for arrays that do not fit, TargetError for a target that does not exist;
        warns of NaN.
        """
        inputs, tokens = self._cut(inputs)
        feeds = arrays.check(inputs, self.inputs)
        if position is None and self.interface.position_input is not None:
            position = text.ends(tokens)
        explained = self._file.outputs.get(self.explained_output)
        taken = self._file.added.get(self.interface.weights_input or "")
        batch = self._batch(explained, feeds)
        chosen = Target(self.interface, explained, taken, batch, target, position, weights)
        values = sessions.run(self._session, None, {**feeds, **chosen.feeds()})
        classes, score = chosen.resolve(values.get(self.explained_output))
        added = self._added()
        return Explanation(
            relevance={name: values[output] for name, output in self.interface.relevance.items()},
            outputs={name: value for name, value in values.items() if name not in added},
            relevance_at={name: values[output] for name, output in self.interface.relevance_at.items()},
            target=classes,
            score=score,
            ledger=self._ledger(values),
            tokens=tokens,
            position=chosen.positions,
        )

    def _cut(self, inputs: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, list[text.Tokens]]]:
        """The inputs with ids in place of texts, and the tokens of these."""
        found = {name: text.as_texts(value) for name, value in inputs.items() if _is_number(self.inputs.get(name))}
        texts = {name: value for name, value in found.items() if value is not None}
        ids, tokens = text.fill(texts, self.inputs, inputs, self._read_tokenizer)
        if self._tokenizer is not None:
            given = {name: inputs[name] for name in inputs if name in self.inputs and name not in texts}
            tokens |= text.read_ids(given, self.inputs, self._read_tokenizer())
        return {**inputs, **ids}, tokens

    def _read_tokenizer(self) -> text.Tokenizer:
        if not isinstance(self._tokenizer, text.Tokenizer):
            self._tokenizer = text.find(self._tokenizer, self._file.source)
        return self._tokenizer

    def _ledger(self, values: Mapping[str, Any]) -> Ledger | None:
        name = self.interface.ledger
        return None if name is None else Ledger(self.interface.steps, values[name], self.interface.marked)

    def _added(self) -> set[str]:
        """Names of the outputs that onnxlrp added."""
        names = {*self.interface.relevance.values(), *self.interface.relevance_at.values()}
        return names if self.interface.ledger is None else names | {self.interface.ledger}

    def _batch(self, explained: arrays.Port | None, feeds: Mapping[str, Any]) -> int | None:
        """Number of samples, where the declarations tell: the batch symbol of the output, found at an input."""
        axis = self.interface.batch_axis
        if axis is None:
            return 1
        if explained is None or explained.shape is None or axis >= len(explained.shape):
            return None
        symbol = explained.shape[axis]
        if not isinstance(symbol, str):
            return symbol
        for name, value in feeds.items():
            shape = self.inputs[name].shape or ()
            if symbol in shape and isinstance(value, np.ndarray):
                return value.shape[shape.index(symbol)]
        return None


def _is_number(port: arrays.Port | None) -> bool:
    """Whether an input takes numbers: a text for it must be cut into tokens first."""
    return port is not None and port.dtype is not None and port.dtype.kind in "iubf"
