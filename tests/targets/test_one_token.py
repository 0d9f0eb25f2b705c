"""Scores [N, T, V] have classes on their last axis; a detector's [N, 4 + classes, boxes] has boxes there."""

from __future__ import annotations

import onnx
import pytest

import onnxlrp
from onnxlrp.errors import TargetError
from tests.targets.outputs import build, detector, sequence


@pytest.mark.parametrize("model", [detector(), detector("1"), detector(boxes="anchors")])
def test_boxes_are_no_tokens(model):
    with pytest.raises(TargetError, match=r"'found' \[.*\] looks like .*target=\"element\""):
        onnxlrp.convert(model, target="token")


def logits(shape: str, body: str, **weights: tuple[int, ...]) -> onnx.ModelProto:
    """A model of scores [1, 9, 40]; `every` and `flat` are shapes of the values before the last product."""
    shapes = """all = Constant <value_ints = [1, 9, 40]> () every = Constant <value_ints = [1, 9, 12]> ()
        flat = Constant <value_ints = [9, 12]> ()"""
    return build(f"speak ({shape}) => (FLOAT[1, 9, 40] y) {{ {shapes} {body} }}", **weights)


@pytest.mark.parametrize(
    "model",
    [
        sequence(),
        # As long as the input, whatever computes it.
        logits("FLOAT[1, 9, 40] x", "y = Relu (x)"),
        # A reader of a picture's line of text: 9 places, 40 letters.
        logits("FLOAT[1, 1, 18, 6] x", "h = Reshape (x, every) z = MatMul (h, v) y = Add (z, b)", v=(12, 40), b=(40,)),
        logits("FLOAT[1, 1, 18, 6] x", "h = Reshape (x, flat) z = MatMul (h, v) y = Reshape (z, all)", v=(12, 40)),
        logits("FLOAT[1, 1, 360] x", "z = Reshape (x, all) y = Softmax (z)"),
    ],
)
def test_classes_on_the_last_axis_are_tokens(model):
    """However many they are, and however few the positions."""
    assert onnxlrp.convert(model, target="token").interface.position_input == "position"


def test_a_detector_without_boxes_on_the_last_axis_is_read_by_place():
    """[N, boxes, 4 + classes]: the class of a place, as that of a token."""
    text = """detect (FLOAT[1, 2, 4, 4] image) => (FLOAT[1, 16, 7] found) {
        map = Conv (image, v)
        shape = Constant <value_ints = [1, 7, 16]> ()
        flat = Reshape (map, shape)
        found = Transpose <perm = [0, 2, 1]> (flat)
    }"""
    assert onnxlrp.convert(build(text, v=(7, 2, 1, 1)), target="token").interface.class_axis == 2
