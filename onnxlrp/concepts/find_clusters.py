"""Find clusters of explanations on a data set: explain every sample, reduce the maps, cluster each class."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.composites import Composite, Overridden
from onnxlrp.concepts.cluster_report import Cluster, Clusters, standing_apart
from onnxlrp.concepts.corelay_files import CorelayFolder
from onnxlrp.concepts.indexed_samples import IndexedSamples
from onnxlrp.concepts.spectral_clusters import Spectrum, small_maps, spectrum_of
from onnxlrp.concepts.study_concepts import sample_names
from onnxlrp.convert import convert
from onnxlrp.errors import InputError
from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.input_kinds import channel_axis, input_kind

NEIGHBOURS, SIDE = 10, 16


def clusters_of(
    model: Any,
    data: Any,
    *,
    target: Any = None,
    composite: str | Path | Composite | Overridden = "auto",
    output: str | None = None,
    neighbours: int = NEIGHBOURS,
    side: int = SIDE,
    virelay: str | Path | None = None,
    batch_size: int | None = None,
    providers: Sequence[Any] | None = None,
    preprocess: str = "auto",
    progress: bool = False,
) -> Clusters:
    """Find groups of samples that a model explains unlike the rest of their class, as it does where it learned a
    shortcut (spectral relevance analysis, Lapuschkin et al. 2019). Nobody has to say what to look for.

    Parameters
    ----------
    model
        The model, not an explained one: as `convert` takes it.
    data
        Samples, as `Explainer.map` takes them, best those that the model was trained on; at least some 30 of each class
        that is to be examined.
    target
        The explained class of each sample: its label, where that is known. Default: the predicted one.
    composite, output
        As `convert` takes them.
    neighbours
        The number of nearest neighbours that each map is joined with. Default: 10.
    side
        The number of cells that a map is reduced to along each side. Default: 16.
    virelay
        A new or empty folder to write a project for ViRelAy to: data, maps and clusters in CoRelAy's HDF5 layout, for
        models of pictures. Default: nothing is written.
    batch_size, providers, preprocess
        As `Explainer` and `Explainer.map` take them.
    progress
        True shows a bar if stderr is a terminal. Default: False.

    Returns
    -------
    Clusters
        The clusters that stand apart; `print` lists them, `plot` draws them.

    Raises
    ------
    InputError
        The data do not fit, or no class has enough samples.
    OnnxLrpError
        scikit-learn is not installed, for `virelay` h5py; or as `convert` and `Explainer` raise it.

    Examples
    --------
    ```python
    clusters = onnxlrp.clusters_of("model.onnx", {"image": samples}, target=[0] * 8, neighbours=2)
    for cluster in clusters.apart:
        print(cluster.target, cluster.samples, cluster.focus)
    ```
    """
    explainer = Explainer(convert(model, composite, output=output), providers)
    maps, targets = [], []
    names: list[str] = []
    options = {"target": target, "preprocess": preprocess, "progress": progress}
    with contextlib.nullcontext() if virelay is None else CorelayFolder(Path(virelay), explainer) as written:
        for one in explainer.map(data, batch_size, **options):
            if one.target is None or one.target.ndim > 1:
                raise InputError("clusters are looked for among explanations of one class of each sample")
            maps.append(small_maps(_map_of(one, explainer), side))
            targets.append(one.target)
            names += sample_names(one, len(names), len(one.target))
            if written is not None:
                written.add(one)
        found = find_clusters(np.concatenate(maps), np.concatenate(targets), neighbours)
        samples = IndexedSamples.of(explainer, data, preprocess)
        clusters = Clusters(*found, np.concatenate(targets), tuple(names), explainer.class_names, samples)
        if written is not None:
            written.finish(clusters)
    return clusters


def find_clusters(
    maps: np.ndarray, target: np.ndarray, neighbours: int = NEIGHBOURS
) -> tuple[tuple[Cluster, ...], dict[int, Spectrum], dict[int, np.ndarray]]:
    """Cluster reduced maps, [samples, ...], class by class.

    Returns the clusters that stand apart, the spectrum of each class, and the numbers of its samples. Raises InputError
    where no class has three times as many samples as a sample has neighbours.
    """
    apart, spectra, rows = [], {}, {}
    for one, members in _classes(target, 3 * neighbours):
        spectra[one], rows[one] = spectrum_of(maps[members].reshape(len(members), -1), neighbours), members
        apart += standing_apart(one, members, maps[members], spectra[one], neighbours)
    if not spectra:
        raise InputError(
            f"no class has {3 * neighbours} samples, three times the number of neighbours: give more samples, or fewer "
            "neighbours (neighbours=, on the command line --neighbours)"
        )
    return tuple(apart), spectra, rows


def _classes(target: np.ndarray, least: int) -> Iterator[tuple[int, np.ndarray]]:
    for one in np.unique(target):
        members = np.flatnonzero(target == one)
        if len(members) >= least:
            yield int(one), members


def _map_of(one: Explanation, explainer: Explainer) -> np.ndarray:
    """Return the maps of the first explained input: those of pictures [N, height, width], summed over channels, others
    [N, elements]."""
    name, relevance = next(iter(one.relevance.items()))
    spec = explainer.inputs[name]
    if relevance.ndim in (3, 4) and input_kind(spec, relevance) == "picture":
        axis = channel_axis(spec, relevance)
        return relevance if axis is None else relevance.sum(axis=axis)
    return relevance.reshape(len(relevance), -1)
