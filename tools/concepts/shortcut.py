"""A planted shortcut: whether it is found, whether none is found where there is none, and what removing it does."""

from __future__ import annotations

import dataclasses

import numpy as np

from onnxlrp.concepts.cluster_report import Cluster, Clusters
from onnxlrp.concepts.find_clusters import SIDE, clusters_of
from tools.concepts.marked_pictures import CLASS, CLASSES, Pictures, marked, test_pictures, training_pictures
from tools.concepts.small_network import SmallNetwork, exported, predicted, trained

_SEEN = 0.25
"""Least relevance of a cell of the mark, as a share of the largest cell's."""


@dataclasses.dataclass(frozen=True)
class Size:
    """Numbers of pictures and of epochs."""

    training: int = 1200
    test: int = 1200
    epochs: int = 10


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """Shares of test pictures that a network answers rightly."""

    clean: float
    """Share of clean pictures."""
    of_class: float
    """Share of clean pictures of the marked class."""
    marked_others: float
    """Share of pictures of all other classes that carry the mark."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """The outcome of one seed."""

    seed: int
    found: int | None
    """Number of samples in the most focused cluster of the marked class; None where no cluster stands apart there."""
    marks: int
    """Number of marked samples."""
    purity: float
    """Share of the class's samples that are on the right side of: in this cluster, or not."""
    leaving: float
    elsewhere: int
    """Number of clusters that stand apart in other classes."""
    without: int
    """Number of clusters that stand apart, in all classes, for a network that was trained without the mark."""
    before: Accuracy
    after: Accuracy
    """Accuracy after the place of the cluster was taken out of its samples, and the network trained again."""


def measured(seed: int, size: Size) -> Finding:
    """Train with the mark and without, look for clusters, remove the mark, train again."""
    planted, plain = (training_pictures(seed, size.training, planted=p) for p in (True, False))
    network = _trained(planted.images, planted.labels, seed, size)
    clusters = _clusters(network, planted)
    without = _clusters(_trained(plain.images, plain.labels, seed, size), plain)
    first = next((one for one in clusters.apart if one.target == CLASS), None)
    mended = planted.images if first is None else without_place(planted.images, first, seed)
    again = _trained(mended, planted.labels, seed, size)
    return Finding(
        seed,
        None if first is None else len(first.samples),
        int(planted.is_marked.sum()),
        0.0 if first is None else purity(first, planted),
        0.0 if first is None else first.leaving,
        sum(one.target != CLASS for one in clusters.apart),
        len(without.apart),
        accuracy(network, size.test),
        accuracy(again, size.test),
    )


def purity(found: Cluster, pictures: Pictures) -> float:
    """Share of the class's samples for which membership tells whether they are marked."""
    inside = np.isin(np.arange(len(pictures.labels)), found.samples)
    of_class = pictures.labels == CLASS
    return float((inside == pictures.is_marked)[of_class].mean())


def without_place(images: np.ndarray, found: Cluster, seed: int) -> np.ndarray:
    """Replace the place that a cluster's relevance lies on, in its samples, by that place of random other samples."""
    sizes = np.abs(found.map)
    cells = sizes >= _SEEN * sizes.max()
    factor = images.shape[-1] // SIDE
    place = np.kron(cells, np.ones((factor, factor), bool))
    others = np.setdiff1d(np.arange(len(images)), found.samples)
    drawn = np.random.default_rng(seed).choice(others, len(found.samples))
    images = images.copy()
    images[found.samples] = np.where(place, images[drawn], images[found.samples])
    return images


def accuracy(network: SmallNetwork, count: int) -> Accuracy:
    """Measure a network on test pictures."""
    images, labels = test_pictures(count)
    right, others = predicted(network, images) == labels, labels != CLASS
    with_mark = predicted(network, marked(images[others])) == labels[others]
    return Accuracy(float(right.mean()), float(right[~others].mean()), float(with_mark.mean()))


def _trained(images: np.ndarray, labels: np.ndarray, seed: int, size: Size) -> SmallNetwork:
    return trained(images, labels, CLASSES, seed, size.epochs)


def _clusters(network: SmallNetwork, pictures: Pictures) -> Clusters:
    return clusters_of(exported(network), {"image": pictures.images}, target=pictures.labels, batch_size=64)
