"""A study of the channels of one inner value: their relevance and activation on many samples."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlrp.concepts.indexed_samples import IndexedSamples
from onnxlrp.concepts.region_shares import RegionShares, shares_by_region
from onnxlrp.errors import InputError
from onnxlrp.near_names import did_you_mean
from onnxlrp.reprs import Brief, cut

if TYPE_CHECKING:
    from onnxlrp.runtime.explanation import Explanation

_NOTHING = 1e-10
"""Added to the sum of |relevance| that shares are counted by, so that a sample without relevance has shares of 0."""
MEASURES = ("relevance", "activation")
"""Measures that reference samples are chosen by."""


@dataclasses.dataclass(frozen=True)
class RankedChannel(Brief):
    """A channel with its part in predictions."""

    channel: int
    """Number of the channel, from 0."""
    share: float
    """Relevance of the channel as a share of Σ|relevance| over all channels, between -1 and 1: of one prediction, or
    the mean over several."""
    by_relevance: tuple[int, ...]
    """Samples in which the channel has the greatest share of the relevance, the greatest first."""
    by_activation: tuple[int, ...]
    """Samples in which it has the greatest share of the activation."""


@dataclasses.dataclass(frozen=True, eq=False)
class ConceptStudy:
    """Relevance and activation of every channel of an inner value, on every sample of a data set.

    ```python
    study = onnxlrp.concepts_of("model.onnx", "pictures/")
    for channel in study.ranking(sample=0):
        print(channel.channel, channel.share, channel.by_relevance)
    figure = study.plot(sample=0)
    ```
    """

    layer: str
    """Name of the inner value."""
    relevance: np.ndarray
    """Relevance of each channel, added up over its places, float [samples, channels]."""
    activation: np.ndarray
    """Values of each channel, added up over its places, float [samples, channels]."""
    target: np.ndarray
    """Explained class of each sample, int [samples]."""
    score: np.ndarray
    """Explained output at that class, [samples]."""
    names: tuple[str, ...]
    """Names of the samples: their files, else their numbers."""
    class_names: tuple[str, ...]
    """Names of the classes; empty if nothing names them."""
    samples: IndexedSamples
    """The samples themselves, and the explainer."""

    def __repr__(self) -> str:
        samples, channels = self.relevance.shape
        return f"<ConceptStudy of {cut(self.layer)}: {channels} channels on {samples} samples>"

    @functools.cached_property
    def shares(self) -> dict[str, np.ndarray]:
        """Relevance and activation as shares of the sum of their absolute values over a sample's channels, so that
        samples of large scores do not outweigh others."""
        return {
            name: array / (np.abs(array).sum(axis=1, keepdims=True) + _NOTHING)
            for name, array in zip(MEASURES, (self.relevance, self.activation), strict=True)
        }

    def ranking(
        self,
        *,
        sample: int | None = None,
        target: int | None = None,
        count: int = 5,
        references: int = 6,
        among: ConceptStudy | None = None,
    ) -> list[RankedChannel]:
        """Rank channels by their share of the relevance, the greatest first.

        Parameters
        ----------
        sample
            The number of the sample whose prediction is asked about. Default: the mean over samples.
        target
            A class: the mean is over the samples that are explained for it. Default: over all samples.
        count
            The number of channels. Default: 5.
        references
            The number of reference samples of each. Default: 6.
        among
            Another study of the same value, whose samples are the references. Default: this one.

        Returns
        -------
        list of RankedChannel

        Raises
        ------
        InputError
            There is no such sample, or no sample is explained for the class.
        """
        shares = self.shares["relevance"][self._rows(sample, target)].mean(axis=0)
        best = np.argsort(-shares, kind="stable")[:count]
        where = self if among is None else among
        return [
            RankedChannel(int(c), float(shares[c]), *(where.references(int(c), by, references) for by in MEASURES))
            for c in best
        ]

    def references(self, channel: int, by: str = "relevance", count: int = 6) -> tuple[int, ...]:
        """Find the samples in which a channel has the greatest share of the relevance or of the activation.

        Raises InputError for a channel that there is not, and for another measure than these two.
        """
        if by not in MEASURES:
            near = did_you_mean(by, MEASURES)
            raise InputError(f"references are chosen by {' or '.join(MEASURES)}, not {by!r}{near}")
        channels = self.relevance.shape[1]
        if not 0 <= channel < channels:
            raise InputError(f"{self.layer!r} has the channels 0 to {channels - 1}, not {channel}")
        return tuple(np.argsort(-self.shares[by][:, channel], kind="stable")[:count].tolist())

    def explanation(self, sample: int, channels: int | Sequence[int] | None = None) -> tuple[Explanation, int]:
        """Explain a sample by the relevance that passes some channels alone, or by all of its relevance.

        Relevance that passes beside the value, such as by the shortcut of a residual network, is taken out where
        channels are named. Returns the explanation, and the sample's place along its batch axis, which is 0 unless the
        model takes batches of a fixed size.
        """
        if channels is None:
            return self.samples.explain(sample, self.target)
        explanation, place = self.samples.explain(sample, self.target, {self.layer: channels})
        if not self.passes_beside:
            return explanation, place
        beside, _ = self.samples.explain(sample, self.target, {self.layer: []})
        relevance = {name: array - beside.relevance[name] for name, array in explanation.relevance.items()}
        return dataclasses.replace(explanation, relevance=relevance), place

    @functools.cached_property
    def passes_beside(self) -> bool:
        """True if relevance reaches the inputs by ways that do not pass the value."""
        beside, _ = self.samples.explain(0, self.target, {self.layer: []})
        return any(np.any(array) for array in beside.relevance.values())

    def by_class(self) -> dict[int, np.ndarray]:
        """Average the shares of relevance over the samples of each explained class: what speaks for it, [channels]."""
        shares = self.shares["relevance"]
        return {int(k): shares[self.target == k].mean(axis=0) for k in np.unique(self.target)}

    def by_region(self, regions: Any, *, target: int | None = None, count: int = 5) -> RegionShares:
        """Sum relevance over regions of the pictures, for the most relevant channels and for all together.

        Parameters
        ----------
        regions
            The number of each pixel's region, from 0: int [height, width], or [samples, height, width].
        target
            A class: the mean is over the samples that are explained for it. Default: over all samples.
        count
            The number of channels. Default: 5.

        Returns
        -------
        RegionShares

        Raises
        ------
        InputError
            The regions do not fit the pictures, or no sample is explained for the class.
        """
        channels = [one.channel for one in self.ranking(target=target, count=count, references=1)]
        return shares_by_region(self, np.asarray(regions), self._rows(None, target), channels)

    def name_of(self, target: int) -> str:
        """Name a class by its name, else by its number."""
        return self.class_names[target] if 0 <= target < len(self.class_names) else f"class {target}"

    def plot(self, path: str | Path | None = None, **options: Any) -> Any:
        """Draw the most relevant channels with their reference samples.

        Parameters
        ----------
        path
            The file to write: .png, .svg or .pdf. Default: none is written.
        options
            `sample`, `target`, `count`, `references` and `among`, as `ranking` takes them.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        InputError
            No input is a picture, or the file has another suffix.
        OnnxLrpError
            matplotlib is not installed.
        """
        from onnxlrp.concepts.concept_sheet import draw_sheet

        return draw_sheet(self, None if path is None else Path(path), **options)

    def _rows(self, sample: int | None, target: int | None) -> np.ndarray:
        count = len(self.target)
        if sample is not None:
            if not 0 <= sample < count:
                raise InputError(f"there are the samples 0 to {count - 1}, not {sample}")
            return np.array([sample])
        rows = np.arange(count) if target is None else np.flatnonzero(self.target == target)
        if not rows.size:
            known = ", ".join(map(str, np.unique(self.target).tolist()[:20]))
            raise InputError(f"no sample is explained for class {target}, only for: {known}")
        return rows
