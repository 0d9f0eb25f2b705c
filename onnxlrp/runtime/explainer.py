"""Explainer: runs an explained model on arrays or texts and returns relevance."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from onnxlrp.errors import InputError, InvalidModelError, TargetError, own_errors
from onnxlrp.interface import INNER, Interface
from onnxlrp.notebook_html import notebook_table
from onnxlrp.reprs import cut, some
from onnxlrp.runtime import class_names, description_check, streaming, text
from onnxlrp.runtime import inputs as arrays
from onnxlrp.runtime import providers as sessions
from onnxlrp.runtime.batches import Batches
from onnxlrp.runtime.call_target import CallTarget
from onnxlrp.runtime.cautions import Watch, warn
from onnxlrp.runtime.comparing import read_references, reference_feeds
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.files import Preprocess
from onnxlrp.runtime.given_values import by_name, load_values
from onnxlrp.runtime.ledger_table import Ledger
from onnxlrp.runtime.legend import Legend
from onnxlrp.runtime.pixel_targets import PixelTarget, arguments_of
from onnxlrp.runtime.prepared import Prepared
from onnxlrp.runtime.reading import open_model
from onnxlrp.runtime.results import Results, as_folder
from onnxlrp.runtime.target_base import raw_score


class Explainer:
    """A session on an explained model: takes arrays or texts, returns relevance.

    Parameters
    ----------
    model
        The path of an explained model, its bytes, an `onnx.ModelProto`, or the result of `onnxlrp.convert`. Only a
        model that is given by its path may have its weights in files beside it.
    providers
        onnxruntime's execution providers, as onnxruntime takes them. Default: CUDA where it works, in full float32
        without TF32, else the CPU. `[("CUDAExecutionProvider", {"enable_cuda_graph": "1"})]` records a CUDA graph for
        each set of input shapes, for a model whose outputs have static shapes.
    tokenizer
        The tokenizer for texts: the path of a tokenizer.json or vocab.txt, or a `tokenizers.Tokenizer`. Default: the
        file of that name beside the model.

    Raises
    ------
    InvalidModelError
        onnxlrp has not written the model, it cannot be loaded, or it refers to files outside its folder.
    InputError
        onnxruntime has no such provider, or no list of providers was given.
    OnnxLrpError
        onnxruntime is not installed; the message says what to install.

    Examples
    --------
    ```python
    explainer = onnxlrp.Explainer("model.lrp.onnx")
    explanation = explainer({"image": x}, target=1)
    explanation.relevance["image"]  # numpy, in the shape of x
    ```
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
        """Names and meaning of everything that onnxlrp added to the model."""
        self._session = sessions.create_session(self._file.source, providers)
        self._graphs = sessions.graph_runs(self._session)

    def __repr__(self) -> str:
        file = f" {cut(Path(self._file.source).name, 40)}" if isinstance(self._file.source, str) else ""
        what = f"{cut(self.interface.composite)} explains {cut(self.explained_output, 40)!r}"
        return f"<Explainer{file}: {what} at {some(self.interface.relevance)}, on {cut(self.providers[0], 30)}>"

    def _repr_html_(self) -> str:
        explained = self.interface.relevance
        rows = [(name, str(spec), "yes" if name in explained else "no") for name, spec in self.inputs.items()]
        title = f"Explainer: {self.interface.composite} on {self.explained_output!r}, {self.providers[0]}"
        return notebook_table(title, ("input", "takes", "explained"), rows)

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

    def __call__(
        self,
        inputs: Any,
        target: Any = None,
        position: Any = None,
        weights: Any = None,
        *,
        ids: str | Sequence[str] = (),
        preprocess: str = "auto",
        at: Any = None,
        box: Any = None,
        mask: Any = None,
        picture_size: Any = None,
    ) -> Explanation:
        """Explain one batch.

        Parameters
        ----------
        inputs
            A value for each of the model's inputs, by name; where the model has one input, the value itself. A value is
            an array of the declared type and shape (`Explainer.inputs`), a picture of Pillow or a list of them, or
            files as `map` takes them. An input of token ids also takes a list of texts, or of pairs of texts as tuples;
            the inputs that accompany it, such as attention_mask, are then filled in. A model whose inputs are columns
            takes a table as a whole: a data frame (pandas, polars, pyarrow), a row of one, a dictionary of cells or
            columns, or the path of a .csv or .parquet file. Its columns are matched by name.
        target
            The class to explain, from 0, or its name (`Explainer.class_names`): one for all samples, or one a sample
            [N]; with K targets [K] or [N, K]. Default, and -1: the predicted class. For `target="element"`: the
            element's indices after the batch axis, such as (4, 6203), for all samples, or [N, indices]; with K targets
            [K, indices] or [N, K, indices]. Default, and -1 for all indices: the sample's largest element.
        position
            For `target="token"`: the position of the explained scores, one for all samples or one a sample [N]. -1 is
            the last. Default: the last; for texts, the last token that is no padding.
        weights
            For `target="weights"`: float weights, which must broadcast to the explained output. Default: 1.
        ids
            Names of columns of a table that identify its rows, such as `"customer"`; no input takes them, and
            `Explanation.ids` holds them. Default: none, and the index of a pandas frame unless it only counts.
        preprocess
            The scale of pixels from pictures, as `map` takes it. Default: `"auto"`.
        at, box, mask
            One place in a picture, for outputs that are maps over it or lists of boxes, of a model with
            `target="element"` or `"weights"`: the point (x, y); the box (left, top, right, bottom); or weights of the
            pixels, [height, width] of any size. One for all samples, or one a sample. `target` is then the class there;
            default: the one that the model predicts there. An element is the map's cell at the point, the largest in
            box or mask, or the score of the detected box that overlaps most. The model runs once more for this.
        picture_size
            Width and height of the picture that `at` and `box` are in, one for all samples or one a sample. Default:
            those of the file or picture that was given, else those of the array.

        Returns
        -------
        Explanation
            Relevance of each explained input, and the model's own outputs.

        Raises
        ------
        InputError
            An array, a file or a column is missing, or does not fit the model.
        TargetError
            There is no such class or position, or the model takes another kind of target.

        Warns
        -----
        ExplanationWarning
            The explanation is doubtful: it holds NaN, it is 0 or out of proportion, most of the score does not arrive
            at the inputs, or the score is negative. One warning names all doubts.

        Examples
        --------
        ```python
        explanation = explainer({"image": x}, target=[0, 2])  # two samples, a class for each
        explanation.relevance["image"].sum((1, 2, 3)), explanation.score
        ```
        """
        prepared = self.prepare(inputs, ids, preprocess)
        place = PixelTarget(at, box, mask, picture_size)
        if not place:
            return self.run(prepared, target, position, weights)
        if position is not None:
            raise TargetError("give position, or a place in the picture")
        target = class_names.classes_of(target, lambda: self.class_names)
        arguments, places = arguments_of(self, prepared, place, target, weights)
        explanation = self.run(prepared, **arguments)
        legend = dataclasses.replace(explanation.legend or self._legend, places=places)
        return dataclasses.replace(explanation, legend=legend)

    def compare(
        self,
        inputs: Any,
        reference: Any,
        target: Any = None,
        position: Any = None,
        weights: Any = None,
        *,
        ids: str | Sequence[str] = (),
        preprocess: str = "auto",
    ) -> Explanation:
        """Explain the difference between the score of each sample and that of a reference sample.

        Relevance is positive where the sample's value raises its score above the reference's, and 0 where both values
        are equal. It adds up to the difference: `explanation.raw_score - explanation.base_value`, the score at the
        sample less that at the reference, both of the same class. It is DeepLIFT's with the reference as the baseline
        (Shrikumar et al. 2017), so that the model must have been converted with `deep_lift(baseline="input")`.
        Subtracting two explanations of LRP would not do: each of them loses another part of its score to biases.

        Parameters
        ----------
        inputs
            The samples, as in a call. Inputs that are not explained have these values at the reference too.
        reference
            The reference, in any form that `inputs` may have, for the explained inputs: one for all samples, or one for
            each.
        target, position, weights, ids, preprocess
            As in a call. By default the class that is predicted for the sample, not for the reference.

        Returns
        -------
        Explanation
            The relevance of the difference; `base_value` is the score at the reference, [N].

        Raises
        ------
        InputError
            The model takes no reference, or a value does not fit the model.
        TargetError
            As in a call.

        Examples
        --------
        ```python
        explainer = onnxlrp.Explainer(onnxlrp.convert("model.onnx", composite="deep_lift(baseline='input')"))
        explanation = explainer.compare({"image": x}, {"image": x[::-1]}, target=1)
        explanation.relevance["image"].sum((1, 2, 3)), explanation.raw_score - explanation.base_value
        ```
        """
        prepared = self.prepare(inputs, ids, preprocess)
        how = Preprocess.parse(preprocess)
        known = (self.interface, self.inputs, self._file.columns, prepared.feeds, how, ids)
        prepared = dataclasses.replace(prepared, references=read_references(reference, *known))
        return self.run(prepared, target, position, weights)

    @overload
    def map(
        self,
        inputs: Any,
        batch_size: int | None = None,
        *,
        to: None = None,
        target: Any = None,
        position: Any = None,
        weights: Any = None,
        ids: str | Sequence[str] = (),
        preprocess: str = "auto",
        progress: bool = False,
    ) -> Iterator[Explanation]: ...

    @overload
    def map(
        self,
        inputs: Any,
        batch_size: int | None = None,
        *,
        to: str | os.PathLike[str],
        target: Any = None,
        position: Any = None,
        weights: Any = None,
        ids: str | Sequence[str] = (),
        preprocess: str = "auto",
        progress: bool = False,
    ) -> Results: ...

    def map(
        self,
        inputs: Any,
        batch_size: int | None = None,
        *,
        to: str | os.PathLike[str] | None = None,
        target: Any = None,
        position: Any = None,
        weights: Any = None,
        ids: str | Sequence[str] = (),
        preprocess: str = "auto",
        progress: bool = False,
    ) -> Iterator[Explanation] | Results:
        """Explain many samples, batch by batch; the next batches are read while one is computed.

        Parameters
        ----------
        inputs
            For each input, by name: an array (anything with a length and slices), a list of texts or pictures, or
            files: a path, a folder, a pattern such as `"pictures/*.png"`, or a list of paths, to pictures, .npy, .npz,
            .csv or text, as on the command line. For an input that takes text, a path must be a `pathlib.Path`. Every
            picture is a sample, and so is every row of a table and every line of text. Where the model has one input,
            the value itself; where its inputs are columns, a table as a call takes it.
        batch_size
            The number of samples in a batch; the last may be smaller. Default: what the model's file declares, else 16.
        to
            A folder for the results, one .npz a batch. Batches that it holds already are not computed again, so that
            the same call continues after an interruption; their data are read again and compared (arrays and tables by
            type, shape and every byte, pictures by the content of their files). Default: nothing is written.
        target, position, weights
            As in a call; an array holds one for each sample if its axis 0 is as long as there are samples.
        ids
            As in a call.
        preprocess
            The scale of pixels from picture files: `"auto"` (default: what the model's first steps tell, such as a mean
            that they subtract, else `"raw"`), `"raw"` (0 to 255), `"unit"` (0 to 1), `"signed"` (-1 to 1),
            `"imagenet"`, or MEAN/STD for pixels of 0 to 1, such as `"0.5,0.5,0.5/0.25,0.25,0.25"`.
        progress
            True shows a bar if stderr is a terminal. Default: False.

        Returns
        -------
        Iterator[Explanation] or Results
            Without `to` an iterator with one explanation a batch, computed as they are asked for; with `to` the
            folder's `Results`, once everything is computed and written.

        Raises
        ------
        InputError
            Files or arrays do not fit; or the folder was begun with another model, data, provider or options, holds a
            damaged file (the message says which; remove it, and the same call computes it again), or is written to by
            another thread or process.
        TargetError
            As in a call.

        Warns
        -----
        ExplanationWarning
            Explanations are doubtful; one warning after the last batch.

        Examples
        --------
        ```python
        for explanation in explainer.map({"image": x}, batch_size=2):
            print(explanation.target, explanation.relevance["image"].shape)

        results = explainer.map({"image": "pictures/*.png"}, preprocess="unit", to="results")
        results["image_relevance"]  # numpy, [samples, 3, 8, 8]
        ```
        """
        how = Preprocess.parse(preprocess)
        target = class_names.classes_of(target, lambda: self.class_names)
        options = {"target": target, "position": position, "weights": weights}
        given = by_name(inputs, self.inputs, self.columns, ids)
        batches = Batches(given, options, self.inputs, self.interface, batch_size, how)
        if to is not None:
            return streaming.store(self, batches, as_folder(to), progress)
        return (explanation for _, explanation in streaming.explain(self, batches, progress))

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
        return Prepared(feeds, tokens, columns, given.ids, given.pixels, given.originals)

    @own_errors
    def run(self, prepared: Prepared, target: Any = None, position: Any = None, weights: Any = None) -> Explanation:
        """Explain arrays that `prepare` has checked: the second half of a call.

        Parameters, errors and warnings are those of a call.
        """
        explanation = self.compute(prepared, target, position, weights)
        watch = self.watch()
        watch.see(explanation, prepared.feeds)
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
    def compute(self, prepared: Prepared, target: Any = None, position: Any = None, weights: Any = None) -> Explanation:
        """Explain arrays that `prepare` has checked, without any warning."""
        feeds, tokens = prepared.feeds, prepared.tokens
        if position is None and self.interface.position_input is not None:
            position = text.ends(tokens)
        explained = self._explained()
        shape = None if explained is None else explained.shape
        target = class_names.classes_of(target, lambda: self.class_names)
        given = {"target": target, "position": position, "weights": weights}
        added_feeds = reference_feeds(self.interface, prepared.references, self._file.added)
        chosen = CallTarget(self.interface, shape, self._file.added, self._batch(explained, feeds), given)
        try:
            values = sessions.run(self._session, None, {**feeds, **chosen.feeds(), **added_feeds}, self._graphs)
        except InputError:
            # The file may declare sizes that are wrong, so they are compared only once a run has failed.
            chosen.check_counts(self._batch(self._file.outputs.get(self.explained_output), feeds))
            arrays.check_names(feeds, self.inputs)
            raise
        try:
            description_check.check_values(self.interface, feeds, values)
            choice = chosen.resolve(values.get(self.explained_output), values.get(self.interface.label_output or ""))
        except ValueError as error:
            raise description_check.damaged(self._file.place, error) from error
        added = self._added()
        relevance = {name: values[output] for name, output in self.interface.relevance.items()}
        at_reference = values.get(self.interface.reference_scores or "")
        base = chosen.base(choice, values.get(self.explained_output), at_reference)
        return Explanation(
            relevance=relevance,
            outputs={name: value for name, value in values.items() if name not in added},
            **{f: {n: values[o] for n, o in getattr(self.interface, f).items()} for f in INNER},
            target=choice.target,
            score=choice.score,
            ledger=self._ledger(values),
            tokens=tokens,
            interactions=values.get(self.interface.interactions or ""),
            position=choice.position,
            columns={name: names for name, names in prepared.columns.items() if name in relevance},
            base_value=base,
            raw_score=raw_score(self.interface, base, choice.score, relevance, self._sample_axes()),
            inputs=feeds,
            ids=prepared.ids,
            originals=prepared.originals,
            interface=self.interface,
            legend=dataclasses.replace(self._legend, pixels=prepared.pixels),
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
        return None if name is None else Ledger(self.interface.steps, values[name], self.interface.marked)

    def _added(self) -> set[str]:
        """Names of the outputs that onnxlrp added."""
        face = self.interface
        names = {*face.relevance.values()}.union(*(getattr(face, field).values() for field in INNER))
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
