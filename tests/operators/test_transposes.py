"""Every linear, routing and written-out operator: ⟨r, A x⟩ = ⟨Aᵀ r, x⟩, over shapes and attributes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onnxlrp.operators.registry import Kind
from tests.operators.case import check
from tests.operators.draws import DRAWS, registered


@pytest.mark.slow
@pytest.mark.parametrize("name", registered(Kind.LINEAR, Kind.ROUTING, Kind.DECOMPOSED))
@settings(deadline=None, derandomize=True, max_examples=20, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_transpose(name, data):
    assert name in DRAWS, f"no draw of {name}: add one to tests/operators/draws"
    case = data.draw(st.one_of([draw() for draw in DRAWS[name]]))
    check(case, dynamic=data.draw(st.booleans(), label="dynamic"))
