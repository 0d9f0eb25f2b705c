"""Whole models of texts in float16: scores are the source's in onnxruntime, however relevance is read."""

from __future__ import annotations

import numpy as np
import pytest

import onnxlrp
from tests.operators.case import onnxruntime
from tests.oracle.half_texts import decoder, encoder

MODELS = {"encoder": encoder, "decoder": decoder}
TARGETS = {"encoder": "class", "decoder": "token"}


@pytest.mark.cheapest_forms
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "model"])
@pytest.mark.parametrize("composite", ["auto", "epsilon", "attn_lrp", "gradient"])
@pytest.mark.parametrize("name", MODELS)
def test_scores_are_the_sources(name, composite, precision):
    source, feeds = MODELS[name](2, 2.0)
    theirs = onnxruntime(source)(feeds)["scores"].astype(np.float32)
    explained = onnxlrp.convert(source, composite, precision=precision, target=TARGETS[name]).to_proto()
    found = onnxruntime(explained)(feeds)
    np.testing.assert_allclose(found["scores"], theirs, rtol=0, atol=2e-3 * np.abs(theirs).max())
    assert np.isfinite(found["ids_relevance"]).all()
    assert not found["ids_relevance"][feeds["mask"] == 0].any()
