from __future__ import annotations

import numpy as np
import onnx
import pytest

from onnxlrp.errors import InputError
from onnxlrp.runtime import Explainer
from onnxlrp.runtime.checking import compare_outputs, conservation, fitting_inputs, random_inputs
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.reading import open_model

X = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("right", "ok"),
    [
        (X, True),
        (X * np.float32(1 + 5e-6), True),
        (X * np.float32(1 + 1e-4), False),
        (X[:1], False),
        (X.astype(np.float64), False),
        (np.where(X > 0, np.nan, X).astype(np.float32), False),
        (None, False),
    ],
)
def test_outputs_within_the_promise(right, ok):
    (check,) = compare_outputs({"y": X}, {"y": right})
    assert check.ok is ok


def test_equal_nan_and_maps_and_whole_numbers():
    hole = np.array([np.nan, 1, np.inf], np.float32)
    assert compare_outputs({"y": hole}, {"y": hole.copy()})[0].difference == 0
    maps = [{"cat": 0.5, "dog": 0.5}]
    assert compare_outputs({"y": maps}, {"y": [dict(maps[0])]})[0].ok
    assert not compare_outputs({"y": maps}, {"y": [{"cat": 0.5, "fox": 0.5}]})[0].ok
    assert not compare_outputs({"y": maps}, {"y": [{"cat": 0.5, "dog": 0.6}]})[0].ok
    labels = np.array([1, 2])
    assert compare_outputs({"y": labels}, {"y": labels})[0].ok
    assert not compare_outputs({"y": labels}, {"y": labels + 1})[0].ok


def test_conservation_closes_and_finds_the_step_that_does_not(linear):
    explanation = Explainer(linear)({"x": X})
    kept = conservation(explanation)
    assert kept.ok and kept.worst_gap == 0
    assert kept.seeds == pytest.approx(kept.inputs["x"] + kept.bias + kept.epsilon + kept.stopped)
    values = explanation.ledger.values.copy()
    values[0, 1] += 1
    explanation.ledger.values[:] = values
    broken = conservation(explanation)
    assert not broken.ok and broken.worst_step == "seed"


def test_no_ledger_no_conservation(required):
    assert conservation(Explainer(required)({"x": X})) is None


def test_random_inputs_fit_and_repeat():
    ports = {
        "image": TensorSpec("image", np.dtype(np.float32), ("N", 3, "H", "W")),
        "ids": TensorSpec("ids", np.dtype(np.int64), ("N", "T")),
        "mask": TensorSpec("mask", np.dtype(np.int64), ("N", "T")),
        "pixels": TensorSpec("pixels", np.dtype(np.uint8), (1, 4)),
        "words": TensorSpec("words", np.dtype(object), ("N",)),
        "spare": TensorSpec("spare", np.dtype(np.float32), (1,), optional=True),
    }
    first, second = random_inputs(ports), random_inputs(ports)
    assert {name: value.shape for name, value in first.items()} == {
        "image": (2, 3, 224, 224),
        "ids": (2, 8),
        "mask": (2, 8),
        "pixels": (1, 4),
        "words": (2,),
    }
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(first["image"], random_inputs(ports, seed=1)["image"])


def test_random_inputs_are_of_sizes_that_the_model_runs_on():
    ports = {
        "signal": TensorSpec("signal", np.dtype(np.float32), ("N", "L")),
        "state": TensorSpec("state", np.dtype(np.float32), (1, 4)),
    }
    asked = []

    def run(arrays):
        """One sample only, and long enough to be padded by reflection."""
        asked.append(arrays["signal"].shape)
        if len(arrays["signal"]) > 1 or arrays["signal"].shape[1] < 80:
            raise InputError("the model does not run on these inputs")

    assert fitting_inputs(ports, run)["signal"].shape == (1, 96)
    assert asked == [(2, 8), (1, 8), (2, 32), (1, 32), (2, 96), (1, 96)]
    asked.clear()
    fixed = {"state": ports["state"], "signal": TensorSpec("signal", np.dtype(np.float32), (3, 7))}
    assert fitting_inputs(fixed, run)["signal"].shape == (3, 7)
    assert asked == [(3, 7)]


def test_floats_of_a_model_that_computes_in_halves():
    """Converters to float16 keep the types of outputs: how far those may move is a matter of the layers."""
    source = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["": 21]>
        net (float[N, 2] x) => (float[N, 2] y) {
            h = Cast <to = 10> (x)  e = Exp(h)  y = Cast <to = 1> (e)
        }""")
    assert open_model(source).halves
    (check,) = compare_outputs({"y": X}, {"y": X * np.float32(1 + 1e-3)}, halves=True)
    assert check.ok
    assert not compare_outputs({"y": X}, {"y": X * np.float32(1 + 1e-2)}, halves=True)[0].ok
