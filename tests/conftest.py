"""Tests marked `peers` compare with torch and Zennit; without these they are skipped, and say so."""

from __future__ import annotations

import gc
import importlib.util
import sys

import numpy as np
import pytest

from tests.stages import asserted

PEERS = ("torch", "torchvision", "zennit")


@pytest.fixture(autouse=True, scope="session")
def stages():
    """Every conversion of a run checks what its stages leave."""
    with asserted():
        yield


@pytest.fixture(autouse=True)
def same_numbers():
    """What a test or a library draws without saying from where (scikit-learn's support vectors, a module's weights)
    is the same in every run, whichever tests run beside it."""
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--forms", choices=("cheapest", "plain"), help="plain: convert with relevance carried as amounts alone"
    )


def pytest_configure(config: pytest.Config) -> None:
    if forms := config.getoption("--forms"):
        from tests.oracle.compare import set_forms

        set_forms(forms)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the live comparisons where their packages are missing; the quick round leaves them out anyway."""
    if items and items[0].config.getoption("--forms") == "plain":
        for item in items:
            if item.get_closest_marker("cheapest_forms"):
                item.add_marker(pytest.mark.skip(reason="asks for the form, which --forms=plain leaves out"))
    missing = [name for name in PEERS if importlib.util.find_spec(name) is None]
    skip = pytest.mark.skip(reason=f"needs {', '.join(missing)}: see tools/peers.txt")
    for item in items:
        if item.get_closest_marker("engines"):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("peers"):
            item.add_marker(pytest.mark.slow)
            if missing:
                item.add_marker(skip)


def pytest_collection_finish() -> None:
    """What importing and collecting made stays: walking through it with every collection of garbage took a tenth of
    the run. Graphs point at themselves, so that garbage is still collected, only in larger heaps."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 10)
