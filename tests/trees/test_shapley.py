"""Shapley values in double precision against their definition, over trees of every kind that hypothesis draws."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from hypothesis import given, settings
from hypothesis import strategies as st

from onnxlrp.graph.call import Call
from onnxlrp.trees.ensemble_attributes import forest
from onnxlrp.trees.shapley import shapley_values
from onnxlrp.trees.table_budget import TableBudget
from tests.operators.draws.classical import GRID, MODES, Drawing, by_tables, samples, single
from tests.oracle import trees as oracle
from tests.trees.in_double import run

TARGETS = 2


def ensemble(rng: np.random.Generator, drawing: Drawing, hit_rates: bool) -> onnx.ModelProto | None:
    """A TreeEnsemble of doubles; None where no drawn tree compares. Each tree speaks for one target."""
    trees = [tree for tree in drawing.forest(rng, 3) if tree.mode]
    if not trees:
        return None
    tables = by_tables(trees, TARGETS, floating=np.float64, hit_rates=hit_rates)
    return single("TreeEnsemble", kind=onnx.TensorProto.DOUBLE, version=5, **tables)


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    depth=st.integers(1, 6),
    features=st.integers(1, 4),
    modes=st.lists(st.sampled_from([*MODES, "BRANCH_MEMBER"]), min_size=1, max_size=3),
    missing=st.booleans(),
    hit_rates=st.booleans(),
    tables=st.booleans(),
)
def test_the_definition(seed, depth, features, modes, missing, hit_rates, tables):
    """Repeated features, ties on thresholds, missing values, sets, equalities; from tables and by quadrature."""
    rng = np.random.default_rng(seed)
    source = ensemble(rng, Drawing(features, depth, (0,), modes, missing), hit_rates)
    if source is None:
        return
    x = samples(rng, 4, features, missing=missing)
    x[0] = rng.choice(GRID, features)
    if "BRANCH_MEMBER" in modes:
        # onnxruntime ignores fractions where a set holds a number past 30, which the oracle does not know.
        x = x.round()
    (node,) = ir.serde.deserialize_model(source).graph
    trees, factors = forest(Call.of(node)), rng.normal(size=(4, TARGETS))
    budget = TableBudget() if tables else TableBudget(0)
    found = run(lambda op, rows, c: shapley_values(op, trees, rows, c, budget), x, factors)
    exact = [sum(oracle.shapley(root, row, TARGETS) for root in oracle.trees(source.graph.node[0])) for row in x]
    np.testing.assert_allclose(found, np.einsum("nft,nt->nf", exact, factors), atol=1e-10)
