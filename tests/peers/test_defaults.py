"""The evidence for the default composite: its deletion area, its networks, and one row of its table."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]  # torch warns of its own exporter
torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from tools.defaults import measure, networks  # noqa: E402


def test_the_area_of_a_sum():
    """Of 3 + 2 + 1, by hand: the most relevant first leaves 6, 3, 1, 0, the least relevant first 6, 5, 3, 0."""
    x = np.array([3.0, 2.0, 1.0])

    def left(masks):
        return np.where(masks, 0, x).sum(1)

    assert measure.deletion_area(left, x, 3) == pytest.approx((14 - 10) / 4)
    assert measure.deletion_area(left, -x, 3) == pytest.approx(-1)


def test_channels_are_deleted_as_one():
    x = np.arange(1.0, 7.0).reshape(2, 3)
    area = measure.deletion(lambda rows: rows.sum((1, 2)), x, x, 0)
    assert area == pytest.approx(measure.deletion_area(lambda m: (~m * x.sum(0)).sum(1), x.sum(0), measure.STEPS))


def test_networks_are_explained_by_every_composite(monkeypatch):
    monkeypatch.setattr(measure, "SEEDS", 1)
    monkeypatch.setattr(measure, "SAMPLES", 2)
    for task in networks.tasks()[::3]:
        areas = measure.measure(dataclasses.replace(task, steps=1))
        assert set(areas) == set(measure.COMPOSITES)
        assert all(np.isfinite(a).all() and len(a) == 2 for a in areas.values())
