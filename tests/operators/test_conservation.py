"""Every operator alone: its ledger closes; what starts at the output is found at the inputs or in the ledger."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from onnxlrp.errors import NothingToExplainError
from onnxlrp.operators.registry import Kind
from tests.operators.case import explain, reference
from tests.operators.draws import DRAWS, registered

RULES = ("epsilon", "epsilon_plus", "lrp0")
# a scale alone has a gradient, no relevance; with its integers it is tried in test_quantised
NAMES = [
    n for n in registered(*(k for k in Kind if k not in (Kind.STOP, Kind.REFUSED))) if n != "DynamicQuantizeLinear"
]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, derandomize=True, max_examples=3, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_ledger_closes(name, data):
    case = data.draw(st.one_of([draw() for draw in DRAWS[name]]))
    composite = data.draw(st.sampled_from(RULES), label="composite")
    try:
        model = explain(
            case,
            dynamic=data.draw(st.booleans(), label="dynamic"),
            composite=composite,
            ledger=True,
            explain_probability=True,
        )
    except NothingToExplainError:
        assume(False)  # only where or how much depends on what was drawn as data, not what
    found = reference(model)(case.inputs())
    ledger = found["relevance_ledger"]
    assume(np.isfinite(ledger).all())  # a denominator of 0 under LRP-0, or a value past an edge
    relevance = [v for k, v in found.items() if k.endswith("_relevance")]
    size = max(1.0, float(np.abs(ledger).max()), *(float(np.abs(r).sum()) for r in relevance))
    np.testing.assert_allclose(ledger[:, 0], ledger[:, 1:].sum(1), atol=1e-6 * size)
    given_back = sum(float(r.sum()) for r in relevance) + float(ledger[:, 2:].sum())
    assert abs(float(found["y"].sum()) - given_back) <= 1e-6 * size, (composite, found["y"].sum(), ledger)
    for r in relevance:
        assert np.isfinite(r).all()
