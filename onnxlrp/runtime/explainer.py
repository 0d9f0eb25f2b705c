"""Explainer: runs an explained model on values of every kind and returns relevance."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from onnxlrp.errors import InputError, TargetError
from onnxlrp.notebook_html import notebook_table
from onnxlrp.reprs import cut, some
from onnxlrp.runtime import class_names, streaming
from onnxlrp.runtime.batches import Batches
from onnxlrp.runtime.chosen_channels import masks_of
from onnxlrp.runtime.comparing import read_references
from onnxlrp.runtime.explained_session import ExplainedSession
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.files import Preprocess
from onnxlrp.runtime.given_values import by_name
from onnxlrp.runtime.pixel_targets import PixelTarget, arguments_of
from onnxlrp.runtime.results import Results, as_folder, is_table_file
from onnxlrp.runtime.switched_off import switch_feeds


class Explainer(ExplainedSession):
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
    threads
        The number of threads that onnxruntime computes with. Default: one for each core, which is too many where
        several explainers share a machine.

    Raises
    ------
    InvalidModelError
        onnxlrp has not written the model, it cannot be loaded, or it refers to files outside its folder.
    InputError
        onnxruntime has no such provider, no list of providers was given, or `threads` is no whole number from 1 on.
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

    def __repr__(self) -> str:
        file = f" {cut(Path(self._file.source).name, 40)}" if isinstance(self._file.source, str) else ""
        what = f"{cut(self.interface.composite)} explains {cut(self.explained_output, 40)!r}"
        where = some(self.interface.relevance or self.interface.stops_at)
        return f"<Explainer{file}: {what} at {where}, on {cut(self.providers[0], 30)}>"

    def _repr_html_(self) -> str:
        explained = self.interface.relevance
        rows = [(name, str(spec), "yes" if name in explained else "no") for name, spec in self.inputs.items()]
        title = f"Explainer: {self.interface.composite} on {self.explained_output!r}, {self.providers[0]}"
        return notebook_table(title, ("input", "takes", "explained"), rows)

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
        channels: Any = None,
        explain: bool = True,
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
        channels
            For a model with `concepts`: the channels (or heads, or features) that relevance passes, by the inner
            value's name, or by themselves where there is one such value. Integers name channels, `{"conv2": [3, 7]}`;
            floats are a mask [channels], or [N, channels] for each sample, that relevance is multiplied with. Default:
            all of them.
        explain
            False returns the model's outputs alone, at the cost of its forward pass: for a model that was converted
            with `on_demand=True`. Default: True.

        Returns
        -------
        Explanation
            Relevance of each explained input, and the model's own outputs; with `explain=False` the outputs, the
            target and its score.

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
        prepared = dataclasses.replace(prepared, masks=masks_of(channels, self.interface, self._file.added))
        place = PixelTarget(at, box, mask, picture_size)
        if not place:
            return self.run(prepared, target, position, weights, explain)
        if position is not None:
            raise TargetError("give position, or a place in the picture")
        target = class_names.classes_of(target, lambda: self.class_names)
        arguments, places = arguments_of(self, prepared, place, target, weights)
        explanation = self.run(prepared, **arguments, explain=explain)
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
        channels: Any = None,
        progress: bool = False,
        explain: bool = True,
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
        channels: Any = None,
        progress: bool = False,
        explain: bool = True,
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
        channels: Any = None,
        progress: bool = False,
        explain: bool = True,
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
            The number of samples in a batch; the last may be smaller. Default: what the model's file declares, else 256
            rows of a table, or 16 of any other samples.
        to
            A folder for the results, one .npz a batch. Batches that it holds already are not computed again, so that
            the same call continues after an interruption; their data are read again and compared (arrays and tables by
            type, shape and every byte, pictures by the content of their files). Or a .parquet file, written whole or
            not at all, with the table that `Explanation.save` writes; until it is complete, the folder `to` + ".parts"
            holds what the same call continues from. Default: nothing is written.
        target, position, weights
            As in a call; an array holds one for each sample if its axis 0 is as long as there are samples.
        ids
            As in a call.
        preprocess
            The scale of pixels from picture files: `"auto"` (default: what the model's first steps tell, such as a mean
            that they subtract, else `"raw"`), `"raw"` (0 to 255), `"unit"` (0 to 1), `"signed"` (-1 to 1),
            `"imagenet"`, or MEAN/STD for pixels of 0 to 1, such as `"0.5,0.5,0.5/0.25,0.25,0.25"`.
        channels
            As in a call; a mask [samples, channels] holds one for each sample.
        progress
            True shows a bar if stderr is a terminal. Default: False.
        explain
            As in a call. With `explain=False` a folder holds the model's outputs, targets and scores.

        Returns
        -------
        Iterator[Explanation] or Results
            Without `to` an iterator with one explanation a batch, computed as they are asked for; with `to` the
            `Results` of the folder or file, once everything is computed and written.

        Raises
        ------
        InputError
            Files or arrays do not fit; or the folder was begun with another model, data, provider or options, holds a
            damaged file (the message says which; remove it, and the same call computes it again), or is written to by
            another thread or process; or there is a .parquet file of something else.
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
        switch_feeds(self.interface, explain)  # raises where there is no switch
        how = Preprocess.parse(preprocess)
        target = class_names.classes_of(target, lambda: self.class_names)
        options = {"target": target, "position": position, "weights": weights}
        given = by_name(inputs, self.inputs, self.columns, ids)
        masks = masks_of(channels, self.interface, self._file.added)
        size = streaming.rows_at_once(self, given.inputs) if batch_size is None else batch_size
        batches = Batches(given, options, self.inputs, self.interface, size, how, masks)
        if to is not None and is_table_file(to):
            from onnxlrp.view.stored_table import store_table

            if not explain:
                raise InputError(f"a table of relevance has no rows with explain=False: name a folder, not '{to}'")
            return store_table(self, batches, Path(to), progress)
        if to is not None:
            return streaming.store(self, batches, as_folder(to), progress, explain)
        return (explanation for _, explanation in streaming.explain_batches(self, batches, progress, explain=explain))
