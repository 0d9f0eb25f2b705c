"""LXT side by side: relevance per token (per pixel) of small transformers of the real classes.

LXT's efficient form has no stabiliser, so ε is small here.
"""

from __future__ import annotations

import numpy as np
import pytest

import onnxlrp
from tests.operators.case import onnxruntime, reference
from tests.oracle.compare import error
from tests.peers.lxt_models import FAMILIES, explain, export, sample, torch

pytestmark = pytest.mark.peers

_CASES = [(name, composite) for name, family in FAMILIES.items() for composite in family.patches]


def _ours(name: str, composite: str, dtype, dynamo: bool) -> np.ndarray:
    explained = onnxlrp.convert(export(name, dtype, dynamo), f"{composite}(epsilon=1e-12)").to_proto()
    x = {"x": sample(name, dtype).numpy()}
    run = reference if dtype == torch.float64 else onnxruntime
    return run(explained)(x)["x_relevance"]


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize(("name", "composite"), _CASES)
def test_float32(name, composite, dynamo):
    assert error(_ours(name, composite, torch.float32, dynamo), explain(name, composite, torch.float32)) < 1e-3


@pytest.mark.parametrize(("name", "composite"), _CASES)
def test_float64(name, composite):
    # The norms of Llama and its kin compute in float32 whatever the model does.
    tolerance = 1e-8 if name in ("vit", "bert", "gpt2") else 1e-6
    ours = _ours(name, composite, torch.float64, False)
    assert error(ours, explain(name, composite, torch.float64)) < tolerance
