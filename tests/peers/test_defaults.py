"""The evidence for the default composite: its deletion area, its networks, and one row of its table."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]  # torch warns of its own exporter
torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from tools.defaults import measure, networks  # noqa: E402


def test_networks_are_explained_by_every_composite(monkeypatch):
    monkeypatch.setattr(measure, "SEEDS", 1)
    monkeypatch.setattr(measure, "SAMPLES", 2)
    for task in networks.tasks()[::3]:
        areas = measure.measure(dataclasses.replace(task, steps=1))
        assert set(areas) == set(measure.COMPOSITES)
        assert all(np.isfinite(a).all() and len(a) == 2 for a in areas.values())
