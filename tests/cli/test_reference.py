"""A reference on the command line."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

import onnxlrp
from tests.cli.test_commands import call, refused
from tests.integrations.nets import dense


@pytest.fixture
def net(tmp_path):
    rng = np.random.default_rng(0)
    onnx.save(dense(rng), tmp_path / "net.onnx")
    for name in ("after", "before"):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(2, 4)))
    return tmp_path


def test_a_reference(net):
    """A source is converted to compare samples; so may an explained model have been."""
    files = ("--input", f"x={net / 'after.npy'}", "--reference", f"x={net / 'before.npy'}", "--target", "1")
    call("explain", net / "net.onnx", *files, "-o", net / "out.npz")
    found = np.load(net / "out.npz")
    ours = onnxlrp.Explainer(onnxlrp.convert(net / "net.onnx", "deep_lift(baseline='input')"))
    wanted = ours.compare({"x": np.load(net / "after.npy")}, {"x": np.load(net / "before.npy")}, target=1)
    np.testing.assert_array_equal(found["x_relevance"], wanted.relevance["x"])
    np.testing.assert_allclose(found["raw_score"] - found["base_value"], found["x_relevance"].sum(1), atol=1e-12)
    alone = ("--input", net / "after.npy", "--reference", net / "before.npy", "--target", "1")
    call("explain", net / "net.onnx", *alone, "-o", net / "alone.npz")
    np.testing.assert_array_equal(np.load(net / "alone.npz")["x_relevance"], wanted.relevance["x"])
    call("convert", net / "net.onnx", "-o", net / "net.lrp.onnx", "--composite", "deep_lift(baseline='input')")
    call("explain", net / "net.lrp.onnx", *files, "-o", net / "again.npz")
    np.testing.assert_array_equal(np.load(net / "again.npz")["x_relevance"], wanted.relevance["x"])


def test_references_that_do_not_fit(net):
    model, sample = net / "net.onnx", ("--input", f"x={net / 'after.npy'}")
    reference = ("--reference", f"x={net / 'before.npy'}")
    assert "folder" in call("explain", model, *sample, *reference, "-o", net / "results", status=2).stderr
    assert "takes no reference" in refused("explain", model, *sample, *reference, "--composite", "epsilon")
    other = call("explain", model, *sample, "--reference", f"z={net / 'before.npy'}", status=3)
    assert "no input 'z'" in other.stderr
    assert "NAME=FILE" in call("explain", model, *sample, "--reference", "x=", status=2).stderr
