"""Tests marked `peers` compare with torch and Zennit; without these they are skipped, and say so."""

from __future__ import annotations

import importlib.util

import pytest

PEERS = ("torch", "torchvision", "zennit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in PEERS if importlib.util.find_spec(name) is None]
    if missing:
        skip = pytest.mark.skip(reason=f"needs {', '.join(missing)}: see tools/peers.txt")
        for item in items:
            if item.get_closest_marker("peers"):
                item.add_marker(skip)
