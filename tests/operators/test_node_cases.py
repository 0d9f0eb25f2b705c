"""All of ONNX's own node cases: each converts, or stops or is refused for a reason; every gradient is one.

A table at the end of the run counts what became of them.
"""

from __future__ import annotations

import pytest

from tests.operators.node_cases import attempt, collect

LATER: dict[str, str] = {}
"""What is refused because its rules are still to come: an expected failure each."""
FOR_GOOD = ("optional value comes from", "a step of training")
"""What is refused because nothing could be given back, or no model in use holds it."""


INFINITE = "test_mod_float_edge_cases_fmod_0"
"""Cases whose values are infinite or no numbers: nothing can be differentiated there."""


@pytest.mark.slow
@pytest.mark.parametrize("case", collect(), ids=lambda case: case.name.removeprefix("test_"))
def test_node_case(case, record_property):
    outcome = attempt(case)
    counted = {
        "cases": True,
        "converted": outcome.converted,
        "gradient verified": outcome.verified > 0,
        "stopped": outcome.stopped is not None and not outcome.converted,
        "refused": outcome.refused is not None,
        "converted, but neither runtime runs them": bool(outcome.not_runnable),
        f"  {(outcome.not_runnable or '')[:100]}": bool(outcome.not_runnable),
        "not verified: infinite values": outcome.unverified is not None,
    }
    for name, holds in counted.items():
        if holds:
            record_property("node cases", name)  # for the terminal summary
    if outcome.unverified is not None:
        assert case.name.startswith(INFINITE), outcome.unverified
    if outcome.refused is not None:
        later = next((why for what, why in LATER.items() if what in outcome.refused), None)
        if later is not None:
            pytest.xfail(later)
        assert any(reason in outcome.refused for reason in FOR_GOOD), outcome.refused
