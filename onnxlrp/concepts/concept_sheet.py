"""Sheet of channels: for each its conditional map, and the samples in which it is most relevant and most active."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.concepts.concept_study import MEASURES, ConceptStudy, RankedChannel
from onnxlrp.concepts.concept_table import headline
from onnxlrp.concepts.indexed_samples import IndexedSamples
from onnxlrp.drafts import atomic_write
from onnxlrp.errors import InputError
from onnxlrp.extras import optional
from onnxlrp.runtime.files import picture_layout
from onnxlrp.view import pictures
from onnxlrp.view.figures.picture_maps import Pictured, laid_over, pictured, smoothed
from onnxlrp.view.figures.scene import scene_of

SUFFIXES = (".png", ".svg", ".pdf")
_SIDE = 1.15
"""Side of a picture in inches."""
_FADED = 0.25
"""Strength of the parts of a reference sample that the channel does not see."""
_SEEN = 0.15
"""Least relevance of a place that the channel sees, as a share of the largest; smoothed over a few pixels."""


def check_sheet_suffix(path: Path) -> None:
    """Raise InputError if a sheet cannot be written in the format of the suffix, and OnnxLrpError without
    matplotlib."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"a sheet of concepts is written as {', '.join(SUFFIXES)}, not as '{path.name}'")
    optional("matplotlib", "a sheet of concepts")


def is_of_pictures(samples: IndexedSamples) -> bool:
    """Decide whether an explained input is a picture."""
    explainer = samples.explainer
    return any(picture_layout(explainer.inputs[name]) is not None for name in explainer.interface.relevance)


def draw_sheet(
    study: ConceptStudy,
    path: Path | None,
    *,
    sample: int | None = None,
    target: int | None = None,
    count: int = 5,
    references: int = 6,
    among: ConceptStudy | None = None,
) -> Any:
    """Draw a row for each channel: with a sample its conditional map first, then the reference samples by relevance and
    by activation, in which what the channel does not see is faded. Parameters and errors are those of
    `ConceptStudy.plot`."""
    if path is None:
        optional("matplotlib", "a sheet of concepts")
    else:
        check_sheet_suffix(path)
    ranked = study.ranking(sample=sample, target=target, count=count, references=references, among=among)
    cells = [_row(study, study if among is None else among, one, sample) for one in ranked]
    figure = _drawn(cells, ranked, headline(study, sample=sample, target=target), has_map=sample is not None)
    return written(figure, path)


def written(figure: Any, path: Path | None) -> Any:
    """Write a figure to a path, if there is one, and return it."""
    if path is not None:
        with atomic_write(path) as draft:
            figure.savefig(draft, format=path.suffix[1:].lower(), dpi=110)
    return figure


def _row(study: ConceptStudy, among: ConceptStudy, one: RankedChannel, sample: int | None) -> list[list[np.ndarray]]:
    """Compute the pictures of a row: the conditional map where there is a sample, and the references of each kind."""
    first = [] if sample is None else _map(_conditional(study, sample, one.channel))
    kinds = [[_seen(_conditional(among, index, one.channel)) for index in getattr(one, f"by_{by}")] for by in MEASURES]
    return [first, *kinds]


def _conditional(study: ConceptStudy, sample: int, channel: int) -> Pictured:
    """Picture a sample, and the relevance that passes one channel on its way there."""
    explanation, place = study.explanation(sample, channel)
    scene = scene_of(explanation)
    name = next((name for name, kind in scene.kinds.items() if kind == "picture"), None)
    if name is None:
        raise InputError("a sheet of concepts is of pictures, and no explained input is one; --json has the numbers")
    return pictured(scene, name, place)


def _map(one: Pictured) -> list[np.ndarray]:
    """Lay relevance over the picture; a small picture stands beside its map."""
    limit = pictures.limit_of(one.raw)
    return [_coloured(one), np.asarray(pictures.heatmap(one.raw, limit))] if one.is_small else [laid_over(one, limit)]


def _seen(one: Pictured) -> np.ndarray:
    """Fade the parts of a picture that have no relevance."""
    seen = smoothed(np.abs(one.relevance))
    strength = np.clip(seen / (_SEEN * seen.max() or 1), _FADED, 1)[..., None]
    return np.rint(_coloured(one) * strength + 255 * (1 - strength)).astype(np.uint8)


def _coloured(one: Pictured) -> np.ndarray:
    return one.picture if one.picture.ndim == 3 else np.repeat(one.picture[..., None], 3, axis=2)


def _drawn(cells: list[list[list[np.ndarray]]], ranked: list[RankedChannel], title: str, has_map: bool) -> Any:
    from onnxlrp.view.figures.canvas import GREY, new_figure, style

    counts = [max(len(row[part]) for row in cells) for part in range(3)]
    columns = [count for count in counts if count]
    heads = [head for head, count in zip(("this prediction", "most relevant in", "most active in"), counts) if count]
    with style():
        figure = new_figure(1.1 + _SIDE * sum(columns) + 0.15 * len(columns), 0.75 + _SIDE * 1.04 * len(cells))
        figure.suptitle(title, x=0.01, ha="left")
        widths = [0.9, *columns]
        parts: Any = figure.subfigures(1, len(widths), width_ratios=widths, wspace=0.02)
        _label(parts[0], ranked, GREY)
        filled = [part for part in range(3) if counts[part]]
        for canvas, part, head in zip(parts[1:], filled, heads, strict=True):
            canvas.suptitle(head, fontsize=9, color=GREY)
            axes = canvas.subplots(len(cells), counts[part], squeeze=False)
            for row, places in zip(cells, axes, strict=True):
                for index, place in enumerate(places):
                    place.axis("off")
                    if index < len(row[part]):
                        place.imshow(row[part][index], interpolation="nearest")
    return figure


def _label(canvas: Any, ranked: list[RankedChannel], grey: str) -> None:
    """Name each row by its channel and its share of the relevance."""
    canvas.suptitle(" ", fontsize=9)
    for one, place in zip(ranked, canvas.subplots(len(ranked), 1, squeeze=False)[:, 0], strict=True):
        place.axis("off")
        place.text(1, 0.58, f"channel {one.channel}", ha="right", va="center", transform=place.transAxes)
        share = f"{one.share:+.1%}"
        place.text(1, 0.38, share, ha="right", va="center", transform=place.transAxes, color=grey, fontsize=8.5)
