"""Perturbation curves equal those of Quantus, on the same model, order and baseline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("torch")
peer = pytest.importorskip("tools.evaluation.quantus_peer", exc_type=ImportError)

import onnxlrp  # noqa: E402

MODEL = Path(__file__).parents[2] / "models" / "digits_cnn" / "digits_cnn.torchscript.onnx"


@pytest.fixture(scope="module")
def digits():
    """Digits, the network that predicts them, their classes, and relevance without ties."""
    x = np.load(MODEL.parent / "samples.npz")["image"]
    session = onnxruntime.InferenceSession(str(MODEL))
    targets = session.run(["logits"], {"image": x})[0].argmax(1)
    relevance = np.random.default_rng(0).normal(size=x.shape)
    return x, peer.Network(session, "image", "logits"), targets, relevance


def ours(digits, **options):
    x, _, _, relevance = digits
    options = {"measures": "perturbation", "explanations": {"own": relevance}, "beside": (), **options}
    return onnxlrp.evaluate(MODEL, x, "lrp0", **options).curves["own"]


@pytest.mark.parametrize("baseline", [0.0, 5.0, 16.0])
@pytest.mark.parametrize("at_once", [1, 4, 16])
def test_pixel_flipping(digits, baseline, at_once):
    x, network, targets, relevance = digits
    wanted = peer.pixel_flipping(network, x, targets, relevance, baseline, at_once)
    found = ours(digits, units="elements", baseline=baseline, steps=64 // at_once)
    np.testing.assert_allclose(found.most_first[:, 1:], wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("side", [1, 2, 4])
@pytest.mark.parametrize("order", ["morf", "lerf"])
def test_region_perturbation(digits, side, order):
    x, network, targets, relevance = digits
    regions = (8 // side) ** 2
    wanted = peer.region_perturbation(network, x, targets, relevance, 3.0, side, regions, order)
    curves = ours(digits, unit_size=side, baseline=3.0, steps=regions)
    found = curves.most_first if order == "morf" else curves.least_first
    np.testing.assert_allclose(found[:, :1] - found[:, 1:], wanted, rtol=1e-6, atol=1e-6 * np.abs(found).max())
