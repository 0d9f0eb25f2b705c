"""Functions of whole matrices."""

from __future__ import annotations

import numpy as np
from hypothesis.strategies import DrawFn

from tests.operators.case import Case
from tests.operators.draws.common import dims, draws, normal, pick


@draws("Det")
def determinant(draw: DrawFn, op: str) -> Case:
    """Matrices of any rank: what has no inverse has cofactors all the same."""
    size = pick(draw, 1, 2, 3, 5)
    x = normal(draw, (*pick(draw, (), dims(draw, 1, 2, 1, 3)), size, size))
    kind = pick(draw, "regular", "regular", "singular", "zero")
    if kind == "singular" and size > 1:
        x[..., -1, :] = x[..., 0, :]
    if kind == "zero":
        x = np.zeros_like(x)
    return Case(op, [x], static=(0,), step=1e-4, tolerance=1e-6)
