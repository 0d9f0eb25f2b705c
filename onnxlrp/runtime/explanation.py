"""Explanation: what one call of an explainer returns."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxlrp.interface import Interface
from onnxlrp.reprs import counted, cut, some
from onnxlrp.runtime import text
from onnxlrp.runtime.ledger_table import Ledger


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
    """Relevance of each explained input by its name, in the input's shape; [N, K, ...] with K targets."""
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
    """The inner values that have coefficients."""

    inputs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Values of the model's inputs by name, as the model took them."""
    ids: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    """Identifiers of the samples by a name for them, one a sample: a column of a table that no input takes, say."""
    originals: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Values of inputs as they were given, where they say more than an array: lists of paths or of pictures in their
    own size, and labelled arrays of xarray."""
    interface: Interface | None = None
    """Interface of the explained model: names, composite, explained output, labels of classes."""

    def __repr__(self) -> str:
        relevance = some(f"{name} {list(value.shape)}" for name, value in self.relevance.items())
        target = "weighted" if self.target is None else cut(f"target {self.target.tolist()}", 40)
        ledger = "" if self.ledger is None else f", ledger of {counted(len(self.ledger), 'step')}"
        return f"<Explanation: relevance of {relevance}, {target}{ledger}>"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the explanation to a file, whole or not at all; a file that is there is replaced.

        Parameters
        ----------
        path
            The file to write. Its suffix says how: `.csv` and `.parquet` hold one table, as `onnxlrp explain -o` does:
            for models of tables a row a sample with values and relevance, for others a row an entry of the input;
            `.json` and `.npz` hold every array.

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
        from onnxlrp.view.save_explanation import save_explanation

        save_explanation(self, path)
