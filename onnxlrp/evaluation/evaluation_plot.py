"""Plot of perturbation curves, by matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlrp.drafts import atomic_write
from onnxlrp.errors import InputError
from onnxlrp.extras import optional

if TYPE_CHECKING:
    from onnxlrp.evaluation.evaluation_result import Evaluation

SUFFIXES = (".png", ".svg", ".pdf")


def plot_curves(evaluation: Evaluation, path: Path) -> None:
    """Write the mean curves, deletion with the most relevant first and insertion with the most relevant first."""
    check_plot_suffix(path)
    if not evaluation.curves:
        raise InputError("the evaluation has no curves to plot: ask for the measures 'perturbation'")
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
    for name, curves in evaluation.curves.items():
        style = {"linestyle": "--", "color": "grey"} if name == "random" else {}
        shares = curves.shares.mean(axis=0)
        axes[0].plot(shares, curves.most_first.mean(axis=0), label=name, **style)
        axes[1].plot(shares, curves.least_first.mean(axis=0)[::-1], label=name, **style)
    _describe(evaluation, axes)
    try:
        with atomic_write(path) as draft:
            figure.savefig(draft, format=path.suffix[1:].lower())
    finally:
        pyplot.close(figure)


def check_plot_suffix(path: Path) -> None:
    """Raise InputError if a plot cannot be written in the format of the suffix."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"a plot is written as {', '.join(SUFFIXES)}, not as '{path.name}'")
    optional("matplotlib", "a plot")


def _describe(evaluation: Evaluation, axes: np.ndarray) -> None:
    axes[0].set_title("deletion, most relevant first: lower is better")
    axes[1].set_title("insertion, most relevant first: higher is better")
    axes[0].set_xlabel(f"share removed ({evaluation.units})")
    axes[1].set_xlabel("share inserted")
    axes[0].set_ylabel(f"mean of {evaluation.score} over {evaluation.samples} samples")
    axes[0].legend(fontsize="small")


def _pyplot() -> Any:
    matplotlib = optional("matplotlib", "a plot")
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot
