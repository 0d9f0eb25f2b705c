"""Session on an explained model: prepares values, runs the model, and makes explanations of what comes back."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxlrp.errors import InputError, InvalidModelError, own_errors
from onnxlrp.interface import INNER, Interface
from onnxlrp.runtime import class_names, description_check, text
from onnxlrp.runtime import inputs as arrays
from onnxlrp.runtime import providers as sessions
from onnxlrp.runtime.call_target import CallTarget
from onnxlrp.runtime.cautions import Watch, warn
from onnxlrp.runtime.chosen_channels import mask_feeds
from onnxlrp.runtime.circumstances import Circumstances
from onnxlrp.runtime.comparing import reference_feeds
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.files import Preprocess
from onnxlrp.runtime.given_values import by_name, load_values
from onnxlrp.runtime.ledger_table import Ledger
from onnxlrp.runtime.legend import Legend
from onnxlrp.runtime.prepared import Prepared
from onnxlrp.runtime.reading import open_model
from onnxlrp.runtime.switched_off import relevance_of, switch_feeds
from onnxlrp.runtime.target_base import raw_score


class ExplainedSession:
    """An explained model with a session of onnxruntime: everything of an `Explainer` but its face.

    Errors are those of `Explainer`.
    """

    @own_errors
    def __init__(
        self, model: Any, providers: Sequence[Any] | None = None, tokenizer: Any = None, *, threads: int | None = None
    ) -> None:
        whole = isinstance(threads, (int, np.integer)) and not isinstance(threads, bool)
        if threads is not None and (not whole or threads < 1):
            raise InputError(f"threads is a whole number from 1 on, not {threads!r:.80}")
        self._file = open_model(model)
        self._tokenizer = tokenizer
        if self._file.interface is None:
            name = self._file.source if isinstance(self._file.source, str) else "MODEL"
            raise InvalidModelError(
                f"{self._file.place} is not an explained model; write one with\n"
                f"  onnxlrp convert {name} -o OUT.onnx\nor onnxlrp.convert(...)"
            )
        self.interface: Interface = self._file.interface
        """Names and meaning of everything that onnxlrp added to the model."""
        self._session = sessions.create_session(
            self._file.source, providers, threads=None if threads is None else int(threads)
        )
        self._graphs = sessions.graph_runs(self._session)

    @property
    def inputs(self) -> dict[str, arrays.TensorSpec]:
        """Inputs of the model itself by name, each with its type and shape."""
        return self._file.inputs

    @property
    def outputs(self) -> dict[str, arrays.TensorSpec]:
        """Outputs of the model itself by name, each with its type and shape."""
        added = self._added()
        return {name: spec for name, spec in self._file.outputs.items() if name not in added}

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Names of the columns of inputs, as far as the file's metadata has them."""
        return dict(self._file.columns)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in their order, which `target` may be given by; empty if nothing names them.

        They are those of the model's label output or ZipMap, of its metadata (`id2label`, `names`), or of the file
        config.json or labels.txt beside the model.
        """
        return class_names.of_explained(self._file)

    @property
    def explained_output(self) -> str:
        """Name of the output that is explained; if the scores feed a ZipMap, the name of the output that holds its
        maps."""
        return self._file.explained

    @property
    def providers(self) -> list[str]:
        """Execution providers in use, in order of preference."""
        return list(self._session.get_providers())

    @own_errors
    def prepare(self, inputs: Any, ids: str | Sequence[str] = (), preprocess: str | Preprocess = "auto") -> Prepared:
        """Read files and pictures, cut texts into tokens and check arrays: the first half of a call, which needs no
        session.

        Raises InputError where a value is missing or does not fit the model.
        """
        named = by_name(inputs, self.inputs, self.columns, ids)
        how = Preprocess.parse(preprocess) if isinstance(preprocess, str) else preprocess
        given = load_values(named, self.inputs, how)
        values, tokens = self._cut(given.inputs)
        feeds = arrays.check(values, self.inputs)
        columns = {**self._file.columns, **given.columns}
        return Prepared(feeds, tokens, columns, given.ids, given.pixels, given.originals, given.files)

    @own_errors
    def run(
        self, prepared: Prepared, target: Any = None, position: Any = None, weights: Any = None, explain: bool = True
    ) -> Explanation:
        """Explain arrays that `prepare` has checked: the second half of a call.

        Parameters, errors and warnings are those of a call.
        """
        explanation = self.compute(prepared, target, position, weights, explain)
        watch = self.watch()
        watch.see(explanation, prepared.feeds, partial=bool(prepared.masks))
        warn(watch.cautions())
        return explanation

    def watch(self) -> Watch:
        """Make a watch that collects the cautions about this model's explanations."""
        return Watch(self.interface, self._sample_axes())

    @functools.cached_property
    def _legend(self) -> Legend:
        """Facts that views of this model's explanations show."""
        return Legend(self.inputs, self.explained_output, self.class_names, sample_axes=self._sample_axes())

    def _sample_axes(self) -> dict[str, int]:
        """Axis of each input that counts samples, as far as a symbol in the declared shapes says it."""
        declared = self._file.outputs.get(self.explained_output)
        axis = self.interface.batch_axis
        if axis is None or declared is None or declared.shape is None or axis >= len(declared.shape):
            return {}
        symbol = declared.shape[axis]
        if not isinstance(symbol, str):
            return {}
        shapes = {name: spec.shape or () for name, spec in self.inputs.items()}
        return {name: shape.index(symbol) for name, shape in shapes.items() if symbol in shape}

    @own_errors
    def compute(
        self, prepared: Prepared, target: Any = None, position: Any = None, weights: Any = None, explain: Any = True
    ) -> Explanation:
        """Explain arrays that `prepare` has checked, without any warning."""
        feeds, tokens = prepared.feeds, prepared.tokens
        if position is None and self.interface.position_input is not None:
            position = text.ends(tokens)
        explained = self._explained()
        shape = None if explained is None else explained.shape
        target = class_names.classes_of(target, lambda: self.class_names)
        given = {"target": target, "position": position, "weights": weights}
        added_feeds = reference_feeds(self.interface, prepared.references, self._file.added)
        added_feeds |= switch_feeds(self.interface, explain)
        count = self._batch(explained, feeds)
        added_feeds |= mask_feeds(self.interface, prepared.masks, self._file.added, count)
        chosen = CallTarget(self.interface, shape, self._file.added, count, given)
        try:
            values = sessions.run(self._session, None, {**feeds, **chosen.feeds(), **added_feeds}, self._graphs)
        except InputError:
            # The file may declare sizes that are wrong, so they are compared only once a run has failed.
            chosen.check_counts(self._batch(self._file.outputs.get(self.explained_output), feeds))
            arrays.check_names(feeds, self.inputs)
            raise
        try:
            if explain:
                description_check.check_values(self.interface, feeds, values)
            choice = chosen.resolve(values.get(self.explained_output), values.get(self.interface.label_output or ""))
        except ValueError as error:
            raise description_check.damaged(self._file.place, error) from error
        added = self._added()
        if not explain:
            values = {name: value for name, value in values.items() if name not in added}
        relevance = relevance_of(self.interface, values)
        at_reference = values.get(self.interface.reference_scores or "")
        # A sum over some channels has no score that it adds up to.
        base = None if prepared.masks else chosen.base(choice, values.get(self.explained_output), at_reference)
        return Explanation(
            relevance=relevance,
            outputs={name: value for name, value in values.items() if name not in added},
            **{f: {n: values[o] for n, o in getattr(self.interface, f).items() if explain} for f in INNER},
            target=choice.target,
            score=choice.score,
            ledger=self._ledger(values),
            relevance_indices={n: values[o] for n, o in self.interface.relevance_indices.items() if o in values},
            tokens=tokens,
            interactions=values.get(self.interface.interactions or ""),
            position=choice.position,
            columns={name: names for name, names in prepared.columns.items() if name in self.interface.relevance},
            base_value=base,
            raw_score=raw_score(self.interface, base, choice.score, relevance, self._sample_axes()),
            inputs=feeds,
            ids=prepared.ids,
            originals=prepared.originals,
            interface=self.interface,
            legend=dataclasses.replace(self._legend, pixels=prepared.pixels),
            circumstances=self._circumstances(prepared, given),
        )

    def _circumstances(self, prepared: Prepared, given: Mapping[str, Any]) -> Circumstances:
        """Collect everything besides the numbers that a record of a call says."""
        asked = {name: value for name, value in given.items() if value is not None}
        return Circumstances(
            self._file,
            tuple(self.providers),
            asked,
            prepared.files,
            prepared.references,
            self._tokenizer if prepared.tokens and isinstance(self._tokenizer, text.Tokenizer) else None,
            masks=prepared.masks,
        )

    def _cut(self, inputs: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, list[text.Tokens]]]:
        """Replace texts by their ids, and return the tokens of all texts and ids."""
        candidates = {name: text.as_texts(value) for name, value in inputs.items() if _is_number(self.inputs.get(name))}
        texts = {name: value for name, value in candidates.items() if value is not None}
        ids, tokens = text.fill(texts, self.inputs, inputs, self._read_tokenizer)
        if self._tokenizer is not None:
            given = {name: inputs[name] for name in inputs if name in self.inputs and name not in texts}
            tokens |= text.read_ids(given, self.inputs, self._read_tokenizer())
        return {**inputs, **ids}, tokens

    def _read_tokenizer(self) -> text.Tokenizer:
        if not isinstance(self._tokenizer, text.Tokenizer):
            self._tokenizer = text.find(self._tokenizer, self._file.home)
        return self._tokenizer

    def identity(self, inputs: Mapping[str, Any]) -> dict[str, str | None]:
        """Identify everything besides the inputs that relevance depends on.

        These are the SHA-256 of the model with its weights' files, that of the tokenizer if these inputs are texts, and
        the providers, whose numbers differ in the last digits.
        """
        is_text = any(_is_number(self.inputs.get(name)) and text.as_texts(inputs[name]) for name in inputs)
        return {
            "model": self._file.sha256(),
            "tokenizer": self._read_tokenizer().sha256() if is_text else None,
            "providers": ", ".join(self.providers),
        }

    def _explained(self) -> arrays.TensorSpec | None:
        """Specification of the explained output, with its actual shape where the file declares another."""
        spec = self._file.outputs.get(self.explained_output)
        if spec is None or spec.dtype is None or self.interface.output_shape is None:
            return spec
        return dataclasses.replace(spec, shape=self.interface.output_shape)

    def _ledger(self, values: Mapping[str, Any]) -> Ledger | None:
        name = self.interface.ledger
        return (
            None
            if name is None or name not in values
            else Ledger(self.interface.steps, values[name], self.interface.marked)
        )

    def _added(self) -> set[str]:
        """Names of the outputs that onnxlrp added."""
        face = self.interface
        names = {*face.relevance.values(), *face.relevance_indices.values()}
        names.update(*(getattr(face, field).values() for field in INNER))
        return names | {name for name in (face.interactions, face.ledger, face.reference_scores) if name is not None}

    def _batch(self, explained: arrays.TensorSpec | None, feeds: Mapping[str, Any]) -> int | None:
        """Number of samples, read from the input that shares the output's batch symbol; None if no shape tells."""
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
                return int(value.shape[shape.index(symbol)])
        return None


def _is_number(spec: arrays.TensorSpec | None) -> bool:
    """Decide whether an input takes numbers, so that a text for it must be cut into tokens first."""
    return spec is not None and spec.dtype is not None and spec.dtype.kind in "iubf"
