"""The clusters of explanations that stand apart, class by class."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.concepts.indexed_samples import IndexedSamples
from onnxlrp.concepts.spectral_clusters import Spectrum
from onnxlrp.reprs import Brief

LEAVING = 0.02
"""Most links that leave a cluster which stands apart, as a share of all its links."""
_FOCUS = 0.05
"""Share of places whose relevance `Cluster.focus` counts."""


@dataclasses.dataclass(frozen=True, eq=False)
class Cluster(Brief):
    """A group of samples of one class that the model explains alike, and unlike the others of the class."""

    target: int
    """The explained class."""
    samples: np.ndarray
    """Numbers of its samples, int [members]; the most typical first."""
    leaving: float
    """Share of its links to nearest neighbours that leave it."""
    holding: float
    """Least share of links that any cut through it would cut."""
    map: np.ndarray
    """Mean of its maps, each as shares of Σ|relevance|, in the size that was clustered."""

    @property
    def focus(self) -> float:
        """Share of its relevance on the twentieth of all places that has most: high where the model looks at one fixed
        place, as it does at a mark."""
        sizes = np.sort(np.abs(self.map).ravel())[::-1]
        return float(sizes[: max(1, round(_FOCUS * sizes.size))].sum() / max(sizes.sum(), 1e-12))


def standing_apart(target: int, rows: np.ndarray, maps: np.ndarray, found: Spectrum, neighbours: int) -> list[Cluster]:
    """List the clusters of a class that stand apart, the most focused first.

    A cluster does if at most a fiftieth of its links leave it, and if it is easier to cut off than to cut in two
    (`leaving` ≤ `holding`): maps that change little by little, with the place of a thing in a picture, can be cut
    anywhere at the same small cost, and are no clusters. It also has more members than one sample has neighbours.
    """
    apart = []
    for number, (leaving, holding) in enumerate(zip(found.leaving, found.holding, strict=True)):
        inside = np.flatnonzero(found.cluster == number)
        if leaving <= min(LEAVING, holding) and len(inside) > neighbours:
            mean = maps[inside].mean(axis=0)
            distance = ((maps[inside] - mean) ** 2).reshape(len(inside), -1).sum(axis=1)
            order = inside[np.argsort(distance, kind="stable")]
            apart.append(Cluster(target, rows[order], float(leaving), float(holding), mean))
    return sorted(apart, key=lambda cluster: -cluster.focus)


@dataclasses.dataclass(frozen=True, eq=False)
class Clusters:
    """The outcome of a search for clusters of explanations.

    ```python
    clusters = onnxlrp.clusters_of("model.onnx", samples, target=[0] * 8, neighbours=2)
    for cluster in clusters.apart:
        print(cluster.target, len(cluster.samples), cluster.focus)
    ```
    """

    apart: tuple[Cluster, ...]
    """Clusters that stand apart from the rest of their class: questions to a person, not verdicts."""
    spectra: Mapping[int, Spectrum]
    """Clusters of every class that had enough samples, whether or not they stand apart."""
    rows: Mapping[int, np.ndarray]
    """Numbers of the samples of each of these classes, in the order of its spectrum."""
    target: np.ndarray
    """Explained class of each sample, int [samples]."""
    names: Sequence[str]
    """Names of the samples."""
    class_names: Sequence[str] = ()
    """Names of the classes; empty if nothing names them."""
    samples: IndexedSamples | None = None
    """The samples themselves, and the explainer; None for maps that were given."""

    def __repr__(self) -> str:
        return (
            f"<Clusters: {len(self.apart)} apart; {len(self.spectra)} classes of {len(self.target)} samples examined>"
        )

    def __str__(self) -> str:
        from onnxlrp.concepts.cluster_table import verdict, words

        return "\n".join([verdict(self), *(words(one, self) for one in self.apart)])

    def name_of(self, target: int) -> str:
        """Name a class by its name, else by its number."""
        return self.class_names[target] if 0 <= target < len(self.class_names) else f"class {target}"

    def plot(self, path: str | Path | None = None, examples: int = 6) -> Any:
        """Draw every cluster that stands apart: its mean map, and the samples nearest to it with their own maps.

        Parameters
        ----------
        path
            The file to write: .png, .svg or .pdf. Default: none is written.
        examples
            The number of samples of each cluster. Default: 6.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        InputError
            No cluster stands apart, no input is a picture, or the file has another suffix.
        OnnxLrpError
            matplotlib is not installed.
        """
        from onnxlrp.concepts.cluster_sheet import draw_cluster_sheet

        return draw_cluster_sheet(self, None if path is None else Path(path), examples)

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values: the clusters that stand apart, and the eigenvalues of every class."""
        return {
            "samples": len(self.target),
            "apart": [
                {
                    "class": one.target,
                    "name": self.name_of(one.target),
                    "of": int((self.target == one.target).sum()),
                    "leaving": one.leaving,
                    "holding": one.holding,
                    "focus": one.focus,
                    "samples": [{"sample": int(i), "name": self.names[i]} for i in one.samples],
                }
                for one in self.apart
            ],
            "classes": {str(k): {"eigenvalues": found.eigenvalues.tolist()} for k, found in self.spectra.items()},
        }
