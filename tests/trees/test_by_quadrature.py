"""Large ensembles by quadrature: parts of the trees, each computed by itself, and chunks of the rows."""

from __future__ import annotations

import numpy as np
import pytest

import onnxlrp
from onnxlrp.trees import by_quadrature
from tests.emit.cuda_kernels import report
from tests.operators.draws.classical import Drawing, Tree, by_numbers, samples, single
from tests.oracle import trees as oracle

RNG = np.random.default_rng(6)
ONE_EACH = [Drawing(targets=(t % 3,)).tree(RNG) for t in range(4)]
BOOSTED = [Tree(1.0, {0: 0.5}), *ONE_EACH]
"""Trees that each have weights for one target, the first a leaf alone."""
VOTING = Drawing(targets=range(3)).forest(RNG, 3)


@pytest.mark.filterwarnings("ignore:the score of the explained class")
@pytest.mark.parametrize("chunk", [1, 2**22], ids=["chunks of rows", "all rows"])
@pytest.mark.parametrize("trees", [BOOSTED, VOTING], ids=["a target a tree", "all targets"])
def test_parts_of_an_ensemble(monkeypatch, trees, chunk):
    """Every tree keeps its own target, whichever part it comes into."""
    monkeypatch.setattr(by_quadrature, "_PART", 8)
    monkeypatch.setattr(by_quadrature, "CHUNK", chunk)
    monkeypatch.setattr(by_quadrature, "UNCHUNKED", 1)
    source = single("TreeEnsembleRegressor", n_targets=3, **by_numbers(trees, "target", hit_rates=True))
    x = samples(np.random.default_rng(1), 30).astype(np.float32)
    explained = onnxlrp.convert(source, trees_table=False)
    report(explained.to_proto())
    exact = oracle.explain(source.graph.node[0], x, 3)
    for target in range(3):
        found = onnxlrp.Explainer(explained)({"x": x}, target=target).relevance["x"]
        np.testing.assert_allclose(found, exact.parts[..., target], atol=1e-5)
