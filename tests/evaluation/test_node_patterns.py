"""Patterns that name layers: they match what they should, and nothing else."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxlrp.evaluation.node_patterns import patterns_of

NAMES = st.lists(st.text("ab/._*?[]!C", min_size=1, max_size=8), min_size=1, max_size=12, unique=True)


@given(NAMES, st.integers(1, 12))
def test_patterns_match_all_names_and_no_others(names, count):
    wanted, others = names[:count], names[count:]
    patterns = patterns_of(wanted, others, {"C"})
    matched = {name for name in names for pattern in patterns if fnmatch.fnmatchcase(name, pattern)}
    assert matched == set(wanted)
    assert "C" not in patterns


@pytest.mark.parametrize(
    ("names", "others", "wanted"),
    [
        (["/a/1", "/a/2", "/b/1"], [], ["/a/*", "/b/1"]),
        (["/a/b/1", "/a/b/2"], ["/a/c"], ["/a/b/*"]),
        (["layer1.conv", "layer1.fc"], ["layer2.conv"], ["layer1.*"]),
        (["Conv", "x[0]"], [], ["[C]onv", "x[[]0]"]),
        (["n_1", "n_2"], ["n_3"], ["n_1", "n_2"]),
    ],
)
def test_shared_paths_become_wildcards(names, others, wanted):
    assert patterns_of(names, others, {"Conv"}) == wanted
