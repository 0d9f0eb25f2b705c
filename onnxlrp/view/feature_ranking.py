"""Ranking of the features of a table over many samples, added up batch by batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

import numpy as np

from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.reduced_inputs import laid_out
from onnxlrp.view.explanation_table import is_wide, parts_of, wide_names

_ENDING = "_relevance"


@dataclasses.dataclass(frozen=True)
class RankedFeature:
    """A feature with its relevance over all samples."""

    name: str
    mean_size: float
    """Mean of the absolute relevance."""
    mean: float
    """Mean of the relevance with its sign."""


class FeatureRanking:
    """Sums of relevance by feature; explanations are added one after the other, and need not stay in memory."""

    def __init__(self) -> None:
        self.rows = 0
        """Number of samples (times targets) so far."""
        self._names: list[str] = []
        self._sizes: np.ndarray | float = 0.0
        self._sums: np.ndarray | float = 0.0

    def add(self, explanation: Explanation) -> None:
        """Add an explanation whose inputs hold features; any other changes nothing."""
        explanation = laid_out(explanation)
        if not is_wide(explanation):
            return
        blocks = {name: part.relevance for name, part in parts_of(explanation).items()}
        flat = {name: block.reshape(len(block), -1) for name, block in blocks.items()}
        named = wide_names(explanation, {name: block.shape[1] for name, block in flat.items()})
        joined = np.concatenate([block.astype(np.float64) for block in flat.values()], axis=1)
        self._add([feature for names in named.values() for feature in names], joined)

    def add_columns(self, columns: Mapping[str, np.ndarray]) -> None:
        """Add rows of a table as `table_of` lays it out; one without columns of features changes nothing."""
        names = [name for name in columns if name.endswith(_ENDING) and name != "total_relevance"]
        if names:
            joined = np.stack([columns[name].astype(np.float64) for name in names], axis=1)
            self._add([name.removesuffix(_ENDING) for name in names], joined)

    def _add(self, names: list[str], joined: np.ndarray) -> None:
        self._names = names
        self._sizes = self._sizes + np.abs(joined).sum(axis=0)
        self._sums = self._sums + joined.sum(axis=0)
        self.rows += len(joined)

    def top(self, most: int | None = None) -> list[RankedFeature]:
        """List the features by the mean of their absolute relevance, the largest first."""
        if not self.rows:
            return []
        sizes, means = np.asarray(self._sizes) / self.rows, np.asarray(self._sums) / self.rows
        order = np.argsort(-sizes, kind="stable")[:most]
        return [RankedFeature(self._names[i], float(sizes[i]), float(means[i])) for i in order]


def ranking_of_columns(tables: Iterable[Mapping[str, np.ndarray]], most: int | None = None) -> list[RankedFeature]:
    """Rank the features of tables that lie below each other."""
    ranking = FeatureRanking()
    for columns in tables:
        ranking.add_columns(columns)
    return ranking.top(most)
