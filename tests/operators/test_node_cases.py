"""All of ONNX's own node cases: each converts, or stops or is refused for a reason; every gradient is one.

A table at the end of the run counts what became of them.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.operators.node_cases import attempt, collect

COUNTS: Counter[str] = Counter()
"""What the terminal summary prints."""
LATER: dict[str, str] = {}
"""What is refused because its rules are still to come: an expected failure each."""
FOR_GOOD = ("optional value comes out of", "a step of training")
"""What is refused because nothing could be given back, or no model in use holds it."""


INFINITE = "test_mod_float_edge_cases_fmod_0"
"""Cases whose values are infinite or no numbers: nothing can be differentiated there."""


@pytest.mark.parametrize("case", collect(), ids=lambda case: case.name.removeprefix("test_"))
def test_node_case(case):
    outcome = attempt(case)
    COUNTS["cases"] += 1
    COUNTS["converted"] += outcome.converted
    COUNTS["gradient verified"] += outcome.verified > 0
    COUNTS["stopped"] += outcome.stopped is not None and not outcome.converted
    COUNTS["refused"] += outcome.refused is not None
    if outcome.not_runnable:
        COUNTS["converted, but neither runtime runs them"] += 1
        COUNTS[f"  {outcome.not_runnable[:100]}"] += 1
    if outcome.unverified is not None:
        assert case.name.startswith(INFINITE), outcome.unverified
        COUNTS["not verified: infinite values"] += 1
    if outcome.refused is not None:
        later = next((why for what, why in LATER.items() if what in outcome.refused), None)
        if later is not None:
            pytest.xfail(later)
        assert any(reason in outcome.refused for reason in FOR_GOOD), outcome.refused
