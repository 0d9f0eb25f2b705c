"""Running an explained model: arrays in, relevance out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np

from onnxlrp.errors import InputError, InvalidModelError, own_errors
from onnxlrp.interface import Interface
from onnxlrp.runtime import described, streaming, text
from onnxlrp.runtime import inputs as arrays
from onnxlrp.runtime import providers as sessions
from onnxlrp.runtime.batches import Batches
from onnxlrp.runtime.call_target import CallTarget
from onnxlrp.runtime.cautions import Watch, warn
from onnxlrp.runtime.files import Preprocess
from onnxlrp.runtime.ledger_table import Ledger
from onnxlrp.runtime.reading import open_model
from onnxlrp.runtime.results import Results, as_folder
from onnxlrp.runtime.values import as_mapping


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """The result of one call."""

    relevance: dict[str, np.ndarray]
    """Per explained input, in its shape ([N, K, ...] with K targets)."""
    outputs: dict[str, Any]
    """The model's own outputs, unchanged."""
    relevance_at: dict[str, np.ndarray]
    """Per inner value that `convert(relevance_at=...)` named."""
    target: np.ndarray | None
    """The classes that were explained, int64 [N] (or [N, K]); None for a weighted target.

    Where none was given: the class of the model's label output where `Interface.label_output` names one, else the
    largest of the explained output, first on ties. For an element target: the indices, int64 [N, indices] (or
    [N, K, indices]); -1 where the sample has no elements.
    """
    score: np.ndarray | None
    """The explained output at `target`, [N] (or [N, K]); None for a weighted target."""
    ledger: Ledger | None
    """The table of where relevance was absorbed; None where the model was converted without `ledger`."""
    tokens: Mapping[str, Sequence[text.Tokens]] = dataclasses.field(default_factory=dict)
    """Per input that was given as text (or as ids, where a tokenizer was given too): its tokens, one entry a sample."""
    position: np.ndarray | None = None
    """The positions of the explained scores of a token target, int64 [N]."""


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """The arrays that a session takes, and the tokens of texts."""

    feeds: dict[str, Any]
    tokens: dict[str, list[text.Tokens]]


class Explainer:
    """A session on an explained model.

    `model` is a path, bytes, an `onnx.ModelProto` or the result of `onnxlrp.convert`. `providers=None` runs on CUDA
    where it works (in full float32, without TF32) and else on the CPU; a list is given to onnxruntime as it is:
    `[("CUDAExecutionProvider", {"enable_cuda_graph": "1"})]` records a CUDA graph for each set of input shapes, of a
    model whose outputs have static ones.
    `tokenizer`, for texts: a tokenizer.json, a vocab.txt or a `tokenizers.Tokenizer`; None: the file beside the model.
    Raises InvalidModelError where the model was not written by onnxlrp or cannot be loaded, or where it refers to files
    outside its folder, or to any file if it is not given by its path.
    """

    @own_errors
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
        self._graphs = sessions.graph_runs(self._session)

    @property
    def inputs(self) -> dict[str, arrays.TensorSpec]:
        """The model's own inputs: name, type, shape."""
        return self._file.inputs

    @property
    def outputs(self) -> dict[str, arrays.TensorSpec]:
        """The model's own outputs: name, type, shape."""
        added = self._added()
        return {name: port for name, port in self._file.outputs.items() if name not in added}

    @property
    def explained_output(self) -> str:
        """The output that is explained (of a ZipMap: its maps)."""
        return self._file.explained

    @property
    def providers(self) -> list[str]:
        """The execution providers in use, in order of preference."""
        return self._session.get_providers()

    def __call__(
        self, inputs: Mapping[str, Any], target: Any = None, position: Any = None, weights: Any = None
    ) -> Explanation:
        """Explain one batch.

        `inputs` maps names to arrays, or an input of token ids to a list of texts (pairs of texts as tuples): then the
        inputs that go with it (attention_mask, …) need not be given. `target` is a class, or one per sample ([N]; [K]
        or [N, K] with K targets); None or -1: the predicted class. For an element target it is the element's indices
        after the batch axis, `(4, 6203)`, or a row of them per sample ([N, indices]; [K, indices] or [N, K, indices]);
        None or -1 for all: the sample's largest element. `position` (token targets) likewise, -1: the last
        (None: of a text the last token, not the padding behind it). `weights` (weighted targets) must broadcast to the
        explained output. Raises InputError for arrays that do not fit, TargetError for a target that does not exist.
        One `errors.ExplanationWarning` names all that makes the explanation doubtful: NaN, relevance of 0 or out of all
        proportion, a score that mostly went elsewhere or that is negative.
        """
        return self.run(self.prepare(inputs), target, position, weights)

    @overload
    def map(
        self,
        inputs: Mapping[str, Any],
        batch_size: int | None = None,
        *,
        to: None = None,
        target: Any = None,
        position: Any = None,
        weights: Any = None,
        preprocess: str = "raw",
        progress: bool = False,
    ) -> Iterator[Explanation]: ...

    @overload
    def map(
        self,
        inputs: Mapping[str, Any],
        batch_size: int | None = None,
        *,
        to: str | os.PathLike[str],
        target: Any = None,
        position: Any = None,
        weights: Any = None,
        preprocess: str = "raw",
        progress: bool = False,
    ) -> Results: ...

    def map(
        self,
        inputs: Mapping[str, Any],
        batch_size: int | None = None,
        *,
        to: str | os.PathLike[str] | None = None,
        target: Any = None,
        position: Any = None,
        weights: Any = None,
        preprocess: str = "raw",
        progress: bool = False,
    ) -> Iterator[Explanation] | Results:
        """Explain many samples, batch by batch; the next batches are read while one is computed.

        `inputs` maps names to arrays (anything with a length and slices), lists of texts, or files: a path, a folder, a
        pattern such as "pictures/*.png", a list of paths; pictures, .npy, .npz, .csv and text, as on the command line
        (of an input that takes text, a path must be a `pathlib.Path`). Pictures are one sample each, rows and lines
        are samples. `batch_size=None`: what the model's file declares, else 16; the last batch may be smaller.
        `target`, `position` and `weights` as in a call, per sample where axis 0 has as many. `preprocess`: pixels of
        picture files, a name or MEAN/STD. `progress` shows a bar where stderr is a terminal.

        Without `to`: an iterator over the explanations, one a batch, computed as they are asked for. With `to`, a
        folder: everything is computed and written there, one .npz a batch, and comes back as `Results`. Batches that
        the folder already holds are not computed again, so the same call continues after an interruption. It reads them
        and their data again: arrays and tables are compared by type, shape and every byte, pictures by the content of
        their files (a copied or touched file is the same, an edited one is not).
        Raises InputError where files or arrays do not fit, where the folder was begun with another model, data,
        provider or options, where a file in it is damaged (it says which; once that is removed, the same call computes
        it again), and where another thread or process is writing there. What makes explanations doubtful is one
        `errors.ExplanationWarning` after the last batch.

        ```python
        results = explainer.map({"image": "pictures/*.png"}, preprocess="imagenet", to="results")
        results["image_relevance"]  # [samples, 3, 224, 224]
        ```
        """
        how = Preprocess.parse(preprocess)
        options = {"target": target, "position": position, "weights": weights}
        batches = Batches(inputs, options, self.inputs, self.interface, batch_size, how)
        if to is not None:
            return streaming.store(self, batches, as_folder(to), preprocess, progress)
        return (explanation for _, explanation in streaming.explain(self, batches, progress))

    @own_errors
    def prepare(self, inputs: Mapping[str, Any]) -> Prepared:
        """The first half of a call, without the session: texts cut into tokens, arrays checked."""
        inputs, tokens = self._cut(as_mapping(inputs))
        return Prepared(arrays.check(inputs, self.inputs), tokens)

    @own_errors
    def run(self, prepared: Prepared, target: Any = None, position: Any = None, weights: Any = None) -> Explanation:
        """The second half of a call."""
        explanation = self.compute(prepared, target, position, weights)
        watch = self.watch()
        watch.see(explanation, prepared.feeds)
        warn(watch.cautions())
        return explanation

    def watch(self) -> Watch:
        """A watch that collects the cautions of this model's explanations."""
        declared = self._file.outputs.get(self.explained_output)
        axis = self.interface.batch_axis
        if axis is None or declared is None or declared.shape is None or axis >= len(declared.shape):
            return Watch(self.interface)
        symbol = declared.shape[axis]
        if not isinstance(symbol, str):
            return Watch(self.interface)
        shapes = {name: port.shape or () for name, port in self.inputs.items()}
        return Watch(self.interface, {name: shape.index(symbol) for name, shape in shapes.items() if symbol in shape})

    @own_errors
    def compute(self, prepared: Prepared, target: Any = None, position: Any = None, weights: Any = None) -> Explanation:
        """The second half of a call, without any warning."""
        feeds, tokens = prepared.feeds, prepared.tokens
        if position is None and self.interface.position_input is not None:
            position = text.ends(tokens)
        explained = self._explained()
        shape = None if explained is None else explained.shape
        given = {"target": target, "position": position, "weights": weights}
        chosen = CallTarget(self.interface, shape, self._file.added, self._batch(explained, feeds), given)
        try:
            values = sessions.run(self._session, None, {**feeds, **chosen.feeds()}, self._graphs)
        except InputError:
            # The file may declare more than was found, and may be wrong: asked only once something is amiss.
            chosen.check_counts(self._batch(self._file.outputs.get(self.explained_output), feeds))
            arrays.check_names(feeds, self.inputs)
            raise
        try:
            described.check_values(self.interface, feeds, values)
            found = chosen.resolve(values.get(self.explained_output), values.get(self.interface.label_output or ""))
        except ValueError as error:
            raise described.damaged(self._file.place, error) from error
        added = self._added()
        return Explanation(
            relevance={name: values[output] for name, output in self.interface.relevance.items()},
            outputs={name: value for name, value in values.items() if name not in added},
            relevance_at={name: values[output] for name, output in self.interface.relevance_at.items()},
            target=found.target,
            score=found.score,
            ledger=self._ledger(values),
            tokens=tokens,
            position=found.position,
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

    def identity(self, inputs: Mapping[str, Any]) -> dict[str, str | None]:
        """What numbers depend on besides the inputs: SHA-256 of the model with its weights' files, and of the tokenizer
        where these inputs are texts, and the names of the providers, whose numbers differ in the last digits."""
        is_text = any(_is_number(self.inputs.get(name)) and text.as_texts(inputs[name]) for name in inputs)
        return {
            "model": self._file.sha256(),
            "tokenizer": self._read_tokenizer().sha256() if is_text else None,
            "providers": ", ".join(self.providers),
        }

    def _explained(self) -> arrays.TensorSpec | None:
        """The explained output in the shape that it has, which need not be the one that the file declares."""
        port = self._file.outputs.get(self.explained_output)
        if port is None or port.dtype is None or self.interface.output_shape is None:
            return port
        return dataclasses.replace(port, shape=self.interface.output_shape)

    def _ledger(self, values: Mapping[str, Any]) -> Ledger | None:
        name = self.interface.ledger
        return None if name is None else Ledger(self.interface.steps, values[name], self.interface.marked)

    def _added(self) -> set[str]:
        """Names of the outputs that onnxlrp added."""
        names = {*self.interface.relevance.values(), *self.interface.relevance_at.values()}
        return names if self.interface.ledger is None else names | {self.interface.ledger}

    def _batch(self, explained: arrays.TensorSpec | None, feeds: Mapping[str, Any]) -> int | None:
        """Number of samples, where shapes tell: the batch symbol of the output, found at an input."""
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


def _is_number(port: arrays.TensorSpec | None) -> bool:
    """Decide whether an input takes numbers: a text for it must be cut into tokens first."""
    return port is not None and port.dtype is not None and port.dtype.kind in "iubf"
