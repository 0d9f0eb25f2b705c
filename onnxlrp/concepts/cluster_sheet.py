"""Sheet of clusters: for each its mean map, and the samples nearest to it with their own maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.concepts.cluster_report import Cluster, Clusters
from onnxlrp.concepts.cluster_table import words
from onnxlrp.concepts.concept_sheet import check_sheet_suffix, written
from onnxlrp.errors import InputError
from onnxlrp.view import pictures
from onnxlrp.view.figures.canvas import GREY, new_figure, style
from onnxlrp.view.figures.picture_maps import laid_over, pictured
from onnxlrp.view.figures.scene import scene_of

_SIDE = 1.15
"""Side of a picture in inches."""


def draw_cluster_sheet(clusters: Clusters, path: Path | None, examples: int) -> Any:
    """Draw two rows for each cluster that stands apart: samples, and their maps. Parameters and errors are those of
    `Clusters.plot`."""
    if path is not None:
        check_sheet_suffix(path)
    if not clusters.apart:
        raise InputError("no cluster stands apart, so that there is nothing to draw")
    with style():
        return written(_drawn(clusters, examples), path)


def _drawn(clusters: Clusters, examples: int) -> Any:
    figure = new_figure(_SIDE * (examples + 1) + 0.3, (2 * _SIDE + 0.4) * len(clusters.apart))
    for one, canvas in zip(clusters.apart, np.ravel(figure.subfigures(len(clusters.apart), 1, squeeze=False))):
        canvas.suptitle(words(one, clusters), x=0.01, ha="left", fontsize=9.5)
        places = canvas.subplots(2, examples + 1, squeeze=False)
        for place in places.ravel():
            place.axis("off")
        limit = pictures.limit_of(one.map)
        if one.map.ndim == 2:
            places[1][0].imshow(np.asarray(pictures.heatmap(one.map, limit)), interpolation="nearest")
        places[0][0].text(0.5, 0.02, "mean map", ha="center", va="bottom", color=GREY, fontsize=8.5)
        for sample, column in zip(one.samples[:examples], places.T[1:]):
            for picture, place in zip(_pictures(clusters, one, int(sample)), column, strict=True):
                place.imshow(picture, interpolation="nearest")
    return figure


def _pictures(clusters: Clusters, one: Cluster, sample: int) -> tuple[np.ndarray, np.ndarray]:
    """Picture a sample and its map."""
    if clusters.samples is None:
        raise InputError("the samples of these maps are not known, so that there is nothing to draw")
    explanation, place = clusters.samples.explain(sample, clusters.target)
    scene = scene_of(explanation)
    name = next((name for name, kind in scene.kinds.items() if kind == "picture"), None)
    if name is None:
        raise InputError("a sheet of clusters is of pictures, and no explained input is one; --json has the numbers")
    shown = pictured(scene, name, place)
    limit = pictures.limit_of(shown.raw)
    grey = shown.picture if shown.picture.ndim == 3 else np.repeat(shown.picture[..., None], 3, axis=2)
    return grey, np.asarray(pictures.heatmap(shown.raw, limit)) if shown.is_small else laid_over(shown, limit)
