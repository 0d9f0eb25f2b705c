"""Applications from the literature in their short form: explanations agree with what is known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.peers
pytest.importorskip("torch")
ROOT = Path(__file__).parents[2]


def numbers_of(name: str) -> dict[str, float]:
    """Run an example in a process of its own, which fails if explaining has imported a framework."""
    command = [sys.executable, "-W", "ignore", "-m", "tools.literature", name, "--short", "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    if done.returncode == 1 and "holds the data" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)[name]


def test_relevance_is_where_el_nino_is():
    """Both labels lead to the Niño-3.4 box, also the one that temperature does not enter."""
    found = numbers_of("el_nino")
    for label in ("temperature", "pressure"):
        assert found[f"{label}_accuracy"] >= 0.75
        for event in ("El Niño", "La Niña"):
            assert found[f"{label}_share, {event}"] > 1.5 * found["share_of_sea"]


def test_the_additive_benchmark():
    """The best composite comes near the truth; LRP with γ is ahead of gradient × input beyond chance."""
    found = numbers_of("additive")
    assert found["explained_variance"] > 0.9
    assert max(value for name, value in found.items() if name.startswith("median")) >= 0.8
    assert found["median, DeepLIFT"] > found["median, gradient × input"] + 0.05
    assert found["least_gain"] > 0
    assert found["median, LRP-0"] == pytest.approx(found["median, gradient × input"], abs=1e-3)


def test_flipping_words():
    """Deleting the most relevant words makes either network fail far sooner than random ones, on snippets of people."""
    found = numbers_of("sentiment")
    for network in ("lstm", "transformer"):
        assert found[f"{network}, accuracy"] > 0.65
        assert found[f"{network}, LRP (auto)"] < found[f"{network}, random"] - 0.2
        assert found[f"{network}, LRP (auto), people"] > 0.2
    assert found["transformer, LRP (auto)"] < found["transformer, gradient × input"]


def test_customers_who_leave():
    """Columns with most relevance speak for the side that they correlate with, and networks are as good as a line."""
    found = numbers_of("churn")
    assert found["signs"] >= 0.9
    assert found["mlp, area"] == pytest.approx(found["logistic regression, area"], abs=0.03)


def test_rules_on_pictures():
    """Relevance lies on the pasted piece; damped rules are ahead of gradient × input, and all of a random order."""
    found = numbers_of("picture_rules")
    assert found["accuracy"] > 0.85
    for rule in ("ε = 0.25 std", "γ = 0.25", "z⁺", "vgg_overview"):
        assert found[f"VGG-like, {rule}, inside"] > 2.5 * found["VGG-like, covered"]
        assert found[f"VGG-like, {rule}, area"] > found["VGG-like, gradient × input, area"]
    assert found["VGG-like, gradient × input, area"] > found["VGG-like, random, area"] + 1


def test_the_moment_at_which_a_film_jumps():
    """Relevance lies in the two frames at the jump, and at the cuts that the network has never seen."""
    found = numbers_of("video")
    assert found["LRP (auto), accuracy"] > 0.75
    assert found["z⁺ on convolutions, hits"] > 0.8
    assert found["z⁺ on convolutions, cuts"] >= 0.8
    for rule in ("LRP (auto)", "z⁺ on convolutions"):
        assert found[f"{rule}, share"] > 2 * found["even"]
