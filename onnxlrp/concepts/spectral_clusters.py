"""Spectral relevance analysis of the maps of one class (SpRAy, Lapuschkin et al. 2019).

Maps are reduced to a few places, each is joined with its nearest neighbours, and the eigenvectors of the graph's
normalised Laplacian lay them out; the number of clusters is where the eigenvalues rise most.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from onnxlrp.extras import optional

MOST = 8
"""Most clusters that are looked for in a class, and dimensions of the embedding."""
_DENSE = 2000
"""Most samples whose eigenvectors are computed with a dense matrix."""


@dataclasses.dataclass(frozen=True, eq=False)
class Spectrum:
    """The clusters of the maps of one class, all of them, whether or not they stand apart."""

    eigenvalues: np.ndarray
    """Smallest eigenvalues of the normalised Laplacian without the first, which is 0: up to 8 numbers."""
    embedding: np.ndarray
    """Eigenvectors that belong to them, [samples, dimensions]."""
    cluster: np.ndarray
    """Cluster of each sample, int [samples], from 0."""
    leaving: np.ndarray
    """Share of the links of each cluster that leave it (its conductance), [clusters]."""
    holding: np.ndarray
    """Lower bound of the share of links that any cut through a cluster cuts, [clusters]: half of the second eigenvalue
    of the cluster's own Laplacian (Cheeger's inequality)."""


def spectrum_of(features: np.ndarray, neighbours: int) -> Spectrum:
    """Cluster the rows of `features`, [samples, places], at least 3.

    Raises OnnxLrpError where scikit-learn is not installed.
    """
    graph = _neighbours(features, min(neighbours, len(features) - 1))
    count = min(MOST, len(features) - 1)
    values, vectors = _smallest(graph, count + 1)
    cluster = _by_eigengap(values, vectors)
    found = range(int(cluster.max()) + 1)
    leaving = np.array([_leaving(graph, cluster == one) for one in found])
    holding = np.array([_holding(graph, cluster == one) for one in found])
    return Spectrum(values[1:], vectors[:, 1:], cluster, leaving, holding)


def small_maps(maps: np.ndarray, side: int) -> np.ndarray:
    """Reduce maps [samples, height, width] to sums over at most side × side cells, as shares of each map's Σ|R|.

    Maps [samples, places] of anything but pictures stay as they are, but for the scale.
    """
    for axis in range(1, maps.ndim if maps.ndim == 3 else 1):
        if maps.shape[axis] > side:
            starts = np.arange(side) * maps.shape[axis] // side
            maps = np.add.reduceat(maps, starts, axis=axis)
    flat = np.nan_to_num(maps.reshape(len(maps), -1).astype(np.float64))
    size = np.abs(flat).sum(axis=1, keepdims=True)
    return (flat / np.where(size > 0, size, 1)).reshape(maps.shape)


def _neighbours(features: np.ndarray, count: int) -> Any:
    """Join each sample with its nearest neighbours, a sparse symmetric matrix [samples, samples]; a link that both
    ends ask for counts 1, another one half."""
    graphs = optional("sklearn.neighbors", "a graph of nearest neighbours", "scikit-learn")
    links = graphs.kneighbors_graph(features, count, mode="connectivity")
    return ((links + links.T) / 2).tocsr()


def _laplacian(graph: Any) -> Any:
    sparse = optional("scipy.sparse", "a graph's spectrum", "scikit-learn")
    degrees = np.asarray(graph.sum(axis=1)).ravel()
    scale = sparse.diags(1 / np.sqrt(np.where(degrees > 0, degrees, 1)))
    return sparse.identity(len(degrees), format="csr") - scale @ graph @ scale


def _smallest(graph: Any, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute the smallest eigenvalues of the normalised Laplacian and their eigenvectors."""
    laplacian = _laplacian(graph)
    samples = laplacian.shape[0]
    if samples <= _DENSE:
        linear = optional("scipy.linalg", "a graph's spectrum", "scikit-learn")
        values, vectors = linear.eigh(laplacian.toarray(), subset_by_index=[0, min(count, samples) - 1])
    else:
        sparse = optional("scipy.sparse", "a graph's spectrum", "scikit-learn")
        solvers = optional("scipy.sparse.linalg", "a graph's spectrum", "scikit-learn")
        # The largest of 2 − L are found much faster than the smallest of L; the start is fixed, so that runs agree.
        start = np.linspace(1, 2, samples)
        values, vectors = solvers.eigsh(2 * sparse.identity(samples) - laplacian, count, which="LA", v0=start)
        values, vectors = 2 - values[::-1], vectors[:, ::-1]
    return np.maximum(values, 0), vectors


def _by_eigengap(values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Choose the number of clusters where eigenvalues rise most, relative to the larger one, and cluster the rows of
    the eigenvectors below that gap."""
    rises = np.diff(values[1:]) / np.maximum(values[2:], 1e-12)
    count = int(np.argmax(rises)) + 2 if len(rises) else 2
    clustering = optional("sklearn.cluster", "clusters of explanations", "scikit-learn")
    rows = vectors[:, :count]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    found = clustering.KMeans(count, n_init=10, random_state=0).fit_predict(rows)
    # Numbered by size, the largest first.
    order = np.argsort(-np.bincount(found, minlength=count), kind="stable")
    return np.argsort(order)[found]


def _leaving(graph: Any, inside: np.ndarray) -> float:
    within, whole = graph[inside][:, inside].sum(), graph[inside].sum()
    other = graph[~inside].sum()
    return float((whole - within) / max(min(whole, other), 1e-12))


def _holding(graph: Any, inside: np.ndarray) -> float:
    if inside.sum() < 3:
        return 0.0
    values, _ = _smallest(graph[inside][:, inside], 2)
    return float(values[1] / 2)
