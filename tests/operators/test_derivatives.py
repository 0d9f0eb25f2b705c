"""Every elementwise function and every operator with a reverse of its own: its gradient against finite differences."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onnxlrp.operators.registry import Kind
from tests.operators.case import check
from tests.operators.draws import DRAWS, registered


@pytest.mark.slow
@pytest.mark.parametrize("name", registered(Kind.ELEMENTWISE, Kind.CUSTOM))
@settings(deadline=None, derandomize=True, max_examples=12, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_derivative(name, data):
    assert name in DRAWS, f"no draw of {name}: add one to tests/operators/draws"
    case = data.draw(st.one_of([draw() for draw in DRAWS[name]]))
    check(case, dynamic=data.draw(st.booleans(), label="dynamic"))
