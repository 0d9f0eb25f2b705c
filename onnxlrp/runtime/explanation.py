"""Explanation: what one call of an explainer returns."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlrp.extras import optional
from onnxlrp.interface import Interface
from onnxlrp.reprs import counted, cut, some
from onnxlrp.runtime import text
from onnxlrp.runtime.circumstances import Circumstances
from onnxlrp.runtime.ledger_table import Ledger
from onnxlrp.runtime.legend import Legend
from onnxlrp.runtime.switched_off import check_explained

if TYPE_CHECKING:
    from onnxlrp.view.reasons import Reason


@dataclasses.dataclass(frozen=True, eq=False)
class Explanation:
    """The result of one call of an `Explainer`.

    ```python
    explanation = explainer({"image": x})
    explanation.relevance["image"]  # numpy, in the shape of x
    explanation.outputs["logits"]  # as the source computes it
    explanation.target, explanation.score  # the explained class of each sample, and its score
    ```
    For trees and kernels, base value and relevance add up to a score:

    ```python
    explanation.base_value, explanation.raw_score  # None for other models
    ```
    """

    relevance: dict[str, np.ndarray]
    """Relevance of each explained input by its name, in the input's shape; [N, K, ...] with K targets. Under
    `convert(reduce=...)` it has the shape of the reduction. Empty for a call with `explain=False`."""
    outputs: dict[str, Any]
    """Outputs of the model itself by name, unchanged."""
    relevance_at: dict[str, np.ndarray]
    """Relevance of each inner value that `convert(relevance_at=...)` named, in the value's shape."""
    target: np.ndarray | None
    """Classes that were explained, int64 [N], or [N, K] with K targets; None for a weighted target.

    Without a target in the call, the class is that of the model's label output if `Interface.label_output` names one,
    else that of the largest score, the first of equal ones. For an element target the array holds the indices of the
    elements, int64 [N, indices], or [N, K, indices]; -1 for a sample that has no elements.
    """
    score: np.ndarray | None
    """Explained output at `target`, [N] or [N, K]; None for a weighted target."""
    ledger: Ledger | None
    """Ledger: the table of where relevance was absorbed; None if the model was converted without `ledger`."""
    relevance_indices: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    """Places of the most relevant elements of each input that was converted with a reduction to these (`"top=10"`),
    int64 in the shape of its relevance, [N, k] or [N, K, k]. They count the elements of one sample, after the sums over
    channels or cells if there are any; -1 stands for no element."""
    tokens: Mapping[str, Sequence[text.Tokens]] = dataclasses.field(default_factory=dict)
    """Tokens of each input that was given as text, or as ids together with a tokenizer; one entry a sample."""
    interactions: np.ndarray | None = None
    """Interactions of the columns that `Interface.interaction_columns` names, [N, columns, columns], or
    [N, K, columns, columns] with K targets; None if the model was converted without `interactions`."""
    position: np.ndarray | None = None
    """Positions of the explained scores of a token target, int64 [N]; None for other targets."""
    columns: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Names of the columns of inputs [N, columns] where they are known: from a data frame, the header of a .csv file,
    or the entry `feature_names` of the file's metadata. An input a column is named by the model itself."""
    base_value: np.ndarray | None = None
    """Number that relevance is counted from, float64 [N], or [N, K] with K targets: the model's score where nothing is
    known of the sample, or its score at the reference (`Explainer.compare`). Base value and the relevance of all inputs
    add up to `raw_score`.

    For a weighted target it is the weighted sum of the base values, as the relevance is. None for models without trees
    and kernels, for those whose base differs from sample to sample (MIN and MAX of trees, polynomial kernels, layers
    downstream that are not affine, an input that is not explained), for other gradients, and under `initial="one"`,
    where relevance is a share of the score.
    """
    raw_score: np.ndarray | None = None
    """Score that base value and relevance add up to, float64 in the shape of `base_value`; None without one.

    It is the model's output itself if that is explained. If a final sigmoid, softmax or the like was skipped, it is
    what that function is computed from: the margin (log-odds), not the probability.
    """
    coefficients_at: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    """Coefficient of each inner value that `convert(coefficients_at=...)` named, in the value's shape: relevance is the
    coefficient times the value."""
    values_at: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    """The inner values that have coefficients, and those that `convert(values_at=...)` named."""

    inputs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Values of the model's inputs by name, as the model took them."""
    ids: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    """Identifiers of the samples by a name for them, one a sample: a column of a table that no input takes, say."""
    originals: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Values of inputs as they were given, where they say more than an array: lists of paths or of pictures in their
    own size, and labelled arrays of xarray."""
    interface: Interface | None = None
    """Interface of the explained model: names, composite, explained output, labels of classes."""
    legend: Legend | None = None
    """Declarations of the inputs, names of the classes and of the explained output, for tables and pictures."""
    circumstances: Circumstances | None = None
    """The model and the call that gave the explanation, for the record in files; None if it was put together by
    hand."""

    def __repr__(self) -> str:
        relevance = some(f"{name} {list(value.shape)}" for name, value in self.relevance.items()) or "no input"
        target = "weighted" if self.target is None else cut(f"target {self.target.tolist()}", 40)
        ledger = "" if self.ledger is None else f", ledger of {counted(len(self.ledger), 'step')}"
        return f"<Explanation: relevance of {relevance}, {target}{ledger}>"

    def __str__(self) -> str:
        from onnxlrp.view.explanation_text import in_lines

        return in_lines(self)

    def _repr_html_(self) -> str:
        from onnxlrp.view.explanation_text import in_notebook

        return in_notebook(self)

    def to_frame(self, library: str = "pandas") -> Any:
        """Lay the explanation out as a data frame.

        A model of tables gives a row for each sample (and target): identifiers, the explained target, its score, base
        value, total relevance and raw score, then for each column its value, and its relevance by the column's name
        with `_relevance`. Any other model gives a row for each entry of an input, with its place (`axis_1`, ...), or a
        row for each token with its position.

        Parameters
        ----------
        library
            The library of the frame: `"pandas"` (default) or `"polars"`.

        Returns
        -------
        pandas.DataFrame or polars.DataFrame
            The frame; for pandas its index counts the rows.

        Raises
        ------
        InputError
            There is no such library, or an input's relevance does not count samples.
        OnnxLrpError
            The library is not installed; the message says what to install.

        Examples
        --------
        ```python
        frame = explainer({"image": x[:1]}).to_frame()
        frame.relevance.abs().nlargest(3)
        ```
        """
        check_explained(self)
        from onnxlrp.view.frames import to_frame

        return to_frame(self, library)

    def to_shap(self) -> Any:
        """Convert to a `shap.Explanation`, which shap's plots take: waterfall, beeswarm, bar, heatmap, force, text.

        Values are the relevance of the columns of all inputs, [samples, columns], or [samples, columns, K] with K
        targets; data are the inputs' own values. Relevance without a base value is counted from 0. One input of text
        gives its tokens, any other input arrays in its own shape.

        Returns
        -------
        shap.Explanation
            The explanation.

        Raises
        ------
        InputError
            Several inputs are explained that are no columns.
        OnnxLrpError
            shap is not installed; the message says what to install.

        Examples
        --------
        ```python
        explanation = explainer({"image": x})
        values = explanation.to_shap().values  # in the shape of x
        ```
        """
        check_explained(self)
        from onnxlrp.view.shap_values import to_shap

        return to_shap(self)

    def to_xarray(self) -> Any:
        """Convert the relevance to an `xarray.Dataset`, a variable for each explained input.

        An input that was given as an `xarray.DataArray` keeps its dimensions and coordinates.

        Returns
        -------
        xarray.Dataset
            Relevance by input.

        Raises
        ------
        OnnxLrpError
            xarray is not installed; the message says what to install.

        Examples
        --------
        ```python
        explainer({"image": x}).to_xarray()["image"]
        ```
        """
        check_explained(self)
        from onnxlrp.view.frames import to_xarray

        return to_xarray(self)

    def reasons(self, top: int = 4, against: bool = False) -> list[tuple[Reason, ...]]:
        """List the columns, or tokens, that spoke most for the explained class, as reason codes in words.

        A model that takes raw columns, such as a pipeline with its encoders, gives one reason a column, because
        relevance arrives at the column itself. Columns with relevance of the other sign, or none, are no reasons.

        Parameters
        ----------
        top
            The most reasons of a sample. Default: 4.
        against
            True lists the columns that spoke most against the explained class, as a notice to an applicant who was
            refused does if the class is the approval. Default: False.

        Returns
        -------
        list of tuple of Reason
            For each sample (and target) its reasons, the strongest first: `column`, `value`, `relevance`, `share` of
            all absolute relevance, and `text`.

        Raises
        ------
        InputError
            The explained inputs are neither columns nor texts, or `top` is no whole number from 1 on.

        Examples
        --------
        ```python
        forest = onnxlrp.Explainer(onnxlrp.convert("forest.onnx"))
        for reason in forest(np.float32([[0.7]])).reasons()[0]:
            print(reason)  # x = 0.7 raised the score by 0.5
        ```
        """
        check_explained(self)
        from onnxlrp.view.reasons import reasons_of

        return reasons_of(self, top, against)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the explanation to a file, whole or not at all; a file that is there is replaced.

        The file says what it explains: it holds a record with the hashes of models and inputs, the composite, the
        target and all versions, which `onnxlrp verify` checks. A .csv has its record beside it, in
        `NAME.csv.record.json`.

        Parameters
        ----------
        path
            The file to write. Its suffix says how: `.csv` and `.parquet` hold one table, as `onnxlrp explain -o` does:
            for models of tables a row a sample with values and relevance, for others a row an entry of the input;
            `.json` and `.npz` hold every array; `.png` and `.svg` are the figure that `plot` draws, `.html` a page with
            it, or with the texts of a model of texts, and `.gif` moves through a sequence of pictures.

        Raises
        ------
        InputError
            There is no such format, or the explanation does not fit it.
        OnnxLrpError
            A package that writes the format is not installed; the message says what to install.

        Examples
        --------
        ```python
        explainer({"image": x}).save("explanation.npz")
        ```
        """
        check_explained(self)
        from onnxlrp.view.save_explanation import save_explanation

        save_explanation(self, path)

    def plot(
        self,
        kind: str | None = None,
        *,
        inputs: str | Sequence[str] = (),
        samples: int | Sequence[int] = (),
        labels: Sequence[str] = (),
        top: int = 12,
        time_axis: int | None = None,
        sampling_rate: float | None = None,
        latitude: Any = None,
        longitude: Any = None,
    ) -> Any:
        """Draw the explanation as a figure that fits what it explains: red speaks for the score, blue against it.

        It needs matplotlib: `pip install matplotlib`.

        Parameters
        ----------
        kind
            Kind of figure. Default: what fits the input. `"picture"` lays relevance over each picture in its original
            size; `"channels"` shows each channel of a picture; `"sequence"` the frames of an image sequence or volume;
            `"series"` a line coloured by relevance, or strips of many channels; `"map"` data on a grid of latitude and
            longitude; `"text"` words; `"waterfall"` one row of a table from base value to score; `"bars"` one row;
            `"ranking"` the columns by mean |relevance| over all rows; `"beeswarm"` these and every row as a point.
        inputs
            Name of the input to show, or several. Default: every input that got relevance, a panel each.
        samples
            Number of the sample to show, from 0, or several. Default: all, as far as they fit.
        labels
            Names of the classes, in their order. Default: the model's own names.
        top
            Number of columns that are shown one by one; the others are added up. Default: 12.
        time_axis
            Axis of a series [N, ., .] that holds time. Default: the one that the model slides or steps along, else the
            one of open length, else the longer one.
        sampling_rate
            Time steps a second, for an axis in seconds. Default: the axis counts steps.
        latitude, longitude
            Degrees along the last two axes of gridded data. Default: those of an xarray input.

        Returns
        -------
        matplotlib.figure.Figure
            The figure, which a notebook shows, and `savefig` writes to a file.

        Raises
        ------
        InputError
            There is no such kind, input or sample, or the input does not fit the kind.
        OnnxLrpError
            matplotlib is not installed.

        Examples
        --------
        ```python
        figure = explainer({"image": x}).plot(samples=0)
        figure.savefig("explanation.png")
        ```
        """
        check_explained(self)
        optional("matplotlib", "a figure of an explanation")
        from onnxlrp.view.figures.options import Options
        from onnxlrp.view.figures.show import plot

        chosen: Any = tuple(np.asarray(samples).tolist()) if np.ndim(samples) == 1 else (samples,)
        named = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        options = Options(chosen, top, time_axis, sampling_rate, latitude, longitude)
        return plot(self, kind, named, labels, options)
