"""Models that torch holds in float16, through both exporters: scores are the source's in onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest

import onnxlrp
from tests.operators.case import onnxruntime
from tests.peers.test_transformers import cases
from tests.peers.transformer_zoo import export

pytestmark = pytest.mark.peers


@pytest.mark.parametrize("composite", ["auto", "epsilon", "attn_lrp", "gradient"])
@pytest.mark.parametrize(("name", "dynamo"), cases(["bert", "mixtral", "llama"]))
def test_scores_are_the_sources(name, dynamo, composite):
    source, feeds, _ = export(name, dynamo=dynamo, half=True)
    taken = {value.name for value in source.graph.input}
    feeds = {k: v for k, v in feeds.items() if k in taken}
    theirs = onnxruntime(source)(feeds)["scores"].astype(np.float32)
    for precision in ("float32", "model"):
        explained = onnxlrp.convert(source, composite, precision=precision, target="weights").to_proto()
        found = onnxruntime(explained)(feeds)["scores"]
        np.testing.assert_allclose(found, theirs, rtol=0, atol=2e-3 * np.abs(theirs).max())
