"""Relevance summed per channel and per region of the pictures: what, and where, speaks for a class."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxlrp.errors import InputError
from onnxlrp.printable import shape_text
from onnxlrp.reprs import Brief
from onnxlrp.runtime.input_kinds import channel_axis

if TYPE_CHECKING:
    from onnxlrp.concepts.concept_study import ConceptStudy


@dataclasses.dataclass(frozen=True, eq=False)
class RegionShares(Brief):
    """Relevance by channel and region, as shares of Σ|relevance| of each sample's whole map, averaged over samples."""

    channels: tuple[int, ...]
    """Numbers of the channels."""
    shares: np.ndarray
    """Share of each channel in each region, [channels, regions]."""
    whole: np.ndarray
    """Share of the whole relevance in each region, [regions]: what the shares of every channel add up to, and what
    passes beside them."""


def shares_by_region(study: ConceptStudy, regions: np.ndarray, rows: np.ndarray, channels: list[int]) -> RegionShares:
    """Sum relevance over regions.

    `regions` numbers the region of each pixel from 0, int [height, width] or [samples, height, width]; `rows` are the
    samples to average over. Raises InputError where the regions do not fit the pictures.
    """
    plain = np.concatenate([_by_region(study, regions, start, maps) for start, maps in _maps(study, None)])
    sizes = np.concatenate([np.abs(maps).sum(axis=(1, 2)) for _, maps in _maps(study, None)])
    sizes = np.where(sizes > 0, sizes, 1)[rows, None]

    def passing(chosen: int | list[int]) -> np.ndarray:
        parts = [_by_region(study, regions, start, maps) for start, maps in _maps(study, {study.layer: chosen})]
        return np.concatenate(parts)

    beside = passing([]) if study.passes_beside else np.zeros_like(plain)
    shares = [((passing(channel) - beside)[rows] / sizes).mean(axis=0) for channel in channels]
    return RegionShares(tuple(channels), np.array(shares), (plain[rows] / sizes).mean(axis=0))


def _maps(study: ConceptStudy, channels: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the number of the first sample of each batch with the maps of its pictures, [N, height, width]."""
    explainer, samples = study.samples.explainer, study.samples
    name, start = next(iter(explainer.interface.relevance)), 0
    options = {"target": study.target, "preprocess": samples.preprocess, "channels": channels}
    for one in explainer.map(samples.given, **options):
        relevance = one.relevance[name].astype(np.float64)
        if relevance.ndim not in (3, 4):
            raise InputError(f"regions are of pictures, and {name!r} is {shape_text(relevance.shape)}")
        axis = channel_axis(explainer.inputs[name], relevance)
        yield start, relevance if axis is None else relevance.sum(axis=axis)
        start += len(relevance)


def _by_region(study: ConceptStudy, regions: np.ndarray, start: int, maps: np.ndarray) -> np.ndarray:
    """Sum maps over the regions, [N, regions]."""
    places = regions if regions.ndim == 2 else regions[start : start + len(maps)]
    if places.shape[-2:] != maps.shape[1:] or (regions.ndim == 3 and len(regions) != len(study.target)):
        wanted = shape_text((len(study.target), *maps.shape[1:]))
        raise InputError(f"regions {shape_text(regions.shape)} do not fit the pictures {wanted}")
    masks = [np.broadcast_to(places == one, maps.shape) for one in range(int(regions.max()) + 1)]
    return np.stack([(maps * mask).sum(axis=(1, 2)) for mask in masks], axis=1)
