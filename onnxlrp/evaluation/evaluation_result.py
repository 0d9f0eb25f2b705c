"""Evaluation: the result of `onnxlrp.evaluate`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlrp.errors import InputError, OnnxLrpError
from onnxlrp.evaluation.conservation_shares import ConservationShares
from onnxlrp.evaluation.measures import MEASURES, Measure
from onnxlrp.evaluation.perturbation import Curves
from onnxlrp.evaluation.sanity import Sanity
from onnxlrp.evaluation.statistics import bootstrap, paired
from onnxlrp.notebook_html import rich_in_notebook
from onnxlrp.reprs import counted, cut

if TYPE_CHECKING:
    from rich.table import Table


@dataclasses.dataclass(frozen=True)
class Figure:
    """One measure of one explanation: its mean over the samples, with a bootstrap interval.

    ```python
    figure = onnxlrp.evaluate("model.onnx", {"image": x}).figure("auto", "area")
    print(figure.mean, figure.low, figure.high, figure.better)
    ```
    """

    explanation: str
    """Name of the explanation."""
    measure: str
    """Name of the measure."""
    mean: float
    """Mean over the samples that have a value; NaN if none has."""
    low: float
    """Lower end of the interval; NaN where there are fewer than two samples, or no values by sample."""
    high: float
    """Upper end of the interval."""
    samples: int
    """Number of samples that have a value."""
    better: str
    """Direction in which the measure is better: "higher", "lower" or "neither"."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """Difference of one measure between two explanations of the same samples, first − second, sample by sample.

    ```python
    difference = onnxlrp.evaluate("model.onnx", {"image": x}).difference("auto", "random")
    print(difference.mean, difference.low, difference.high, difference.better)
    ```
    """

    first: str
    """Name of the first explanation."""
    second: str
    """Name of the second explanation."""
    measure: str
    """Name of the measure."""
    mean: float
    """Mean difference."""
    low: float
    """Lower end of the bootstrap interval of the mean difference."""
    high: float
    """Upper end of the interval."""
    better: str | None
    """Name of the better explanation; None if the interval holds 0, or if the measure has no better direction."""


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of `onnxlrp.evaluate`: how good several explanations are on the same samples.

    ```python
    evaluation = onnxlrp.evaluate("model.onnx", {"image": x})
    evaluation.figure("auto", "area")  # mean and interval
    evaluation.difference("auto", "random", "area").better  # None unless the interval excludes 0
    evaluation.to_dict()  # for JSON
    ```
    """

    score: str
    """Name of the explained score; the margin upstream of the output where a softmax or the like is skipped."""
    samples: int
    """Number of samples."""
    units: str
    """Units that are removed, in words."""
    unit_count: int
    """Largest number of units of a sample."""
    baseline: str
    """Values that take the place of removed units, in words."""
    steps: int
    """Number of steps of a curve."""
    confidence: float
    """Confidence of all intervals."""
    seed: int
    """Seed of everything random."""
    values: Mapping[str, Mapping[str, np.ndarray]]
    """Values of each measure: for each explanation float64 [samples], NaN for a sample without a value."""
    curves: Mapping[str, Curves]
    """Perturbation curves of each explanation; empty if they were not asked for."""
    conservation: Mapping[str, ConservationShares]
    """Shares of relevance that reach the inputs, are absorbed and are lost, for each explanation that has a ledger."""
    sanity: Mapping[str, Sanity]
    """Similarity under random weights, for each explanation that can be computed anew."""
    relevance: Mapping[str, np.ndarray]
    """Relevance of the units for each explanation, float64 [samples, units]."""
    notes: tuple[str, ...]
    """Sentences about what is unusual or was left out."""

    def __repr__(self) -> str:
        best = f", best by area {cut(self.best())}" if "area" in self.values else ""
        explanations = counted(len(self.explanations), "explanation")
        return f"<Evaluation of {cut(self.score)}: {explanations}, {counted(self.samples, 'sample')}{best}>"

    def __str__(self) -> str:
        from onnxlrp.evaluation.evaluation_table import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from onnxlrp.evaluation import evaluation_table

        return rich_in_notebook(
            f"Evaluation of {self.score!r}", self.table(), (*evaluation_table.legend(self), *self.notes)
        )

    @property
    def explanations(self) -> tuple[str, ...]:
        """Names of the explanations, in the order of the table."""
        return tuple(self.relevance)

    @property
    def measures(self) -> tuple[Measure, ...]:
        """Measures that were computed, each with its meaning and its better direction."""
        return tuple(MEASURES[name] for name in MEASURES if name in self.values or self._of_whole(name))

    def figure(self, explanation: str, measure: str = "area") -> Figure:
        """Return one measure of one explanation.

        Raises InputError if there is no such explanation or measure.
        """
        self._check(explanation, measure)
        whole = self._of_whole(measure)
        better = MEASURES[measure].better
        if whole:
            return Figure(explanation, measure, whole.get(explanation, np.nan), np.nan, np.nan, self.samples, better)
        known = bootstrap(self._values(explanation, measure), self.confidence, self.seed)
        return Figure(explanation, measure, known.mean, known.low, known.high, known.samples, better)

    def difference(self, first: str, second: str, measure: str = "area") -> Difference:
        """Compare two explanations by one measure, sample by sample.

        Raises InputError if there is no such explanation, or if the measure has no values by sample.
        """
        self._check(first, measure)
        self._check(second, measure)
        if measure not in self.values:
            raise InputError(f"{measure!r} has no values by sample, so that it has no interval")
        values = self._values(first, measure), self._values(second, measure)
        known = paired(*values, self.confidence, self.seed)
        better = None
        if MEASURES[measure].better != "neither" and (known.low > 0 or known.high < 0):
            better = first if (known.mean > 0) == (MEASURES[measure].better == "higher") else second
        return Difference(first, second, measure, known.mean, known.low, known.high, better)

    def best(self, measure: str = "area") -> str:
        """Name the explanation with the best mean; `difference` says by how much, and how sure that is.

        Raises InputError if the measure was not computed, or has no better direction.
        """
        self._check(self.explanations[0], measure)
        sign = {"higher": 1, "lower": -1, "neither": 0}[MEASURES[measure].better]
        if not sign:
            raise InputError(f"{measure!r} has no better direction")
        means = {name: sign * self._mean(name, measure) for name in self.explanations}
        return max(means, key=lambda name: -np.inf if np.isnan(means[name]) else means[name])

    def table(self) -> Table:
        """Make a table for a terminal: `rich.print(evaluation.table())`."""
        from onnxlrp.evaluation.evaluation_table import evaluation_table

        return evaluation_table(self)

    def to_dict(self) -> dict[str, Any]:
        """Convert to dictionaries, lists, numbers and strings, for JSON; NaN becomes None."""
        from onnxlrp.evaluation.evaluation_json import as_dict

        return as_dict(self)

    def to_frame(self) -> Any:
        """Convert to a pandas data frame with a row for each explanation and measure.

        Raises OnnxLrpError if pandas is not installed.
        """
        try:
            import pandas  # type: ignore[import-untyped, unused-ignore]
        except ImportError as error:
            raise OnnxLrpError("a data frame needs pandas: pip install pandas") from error
        rows = [self.figure(name, one.name) for name in self.explanations for one in self.measures]
        return pandas.DataFrame([dataclasses.asdict(row) for row in rows])

    def plot(self, path: str | Path) -> None:
        """Write a picture of the perturbation curves: .png, .svg or .pdf, replacing a file that is there.

        Raises OnnxLrpError if matplotlib is not installed, and InputError if the evaluation has no curves or the file
        cannot be written.
        """
        from onnxlrp.evaluation.evaluation_plot import plot_curves

        plot_curves(self, Path(path))

    def _mean(self, explanation: str, measure: str) -> float:
        if measure not in self.values:
            return self._of_whole(measure).get(explanation, np.nan)
        values = self._values(explanation, measure)
        return float(np.mean(values[~np.isnan(values)])) if not np.isnan(values).all() else np.nan

    def _values(self, explanation: str, measure: str) -> np.ndarray:
        return self.values[measure].get(explanation, np.full(self.samples, np.nan))

    def _of_whole(self, measure: str) -> dict[str, float]:
        """Return a measure that has one value for all samples together."""
        if measure == "reaches_inputs":
            return {name: shares.inputs for name, shares in self.conservation.items()}
        return {name: one.similarity[-1] for name, one in self.sanity.items()} if measure == "weight_similarity" else {}

    def _check(self, explanation: str, measure: str) -> None:
        if explanation not in self.explanations:
            raise InputError(f"there is no explanation {explanation!r}; there are: {', '.join(self.explanations)}")
        computed = [one.name for one in self.measures]
        if measure not in computed:
            raise InputError(f"{measure!r} was not computed; there are: {', '.join(computed)}")
