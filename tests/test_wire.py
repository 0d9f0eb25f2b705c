"""Numbers and texts in the wire format, against what protocol buffers themselves write."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import AttributeProto

from onnxlrp import wire

INTS, FLOATS, TEXTS = wire.tag(8, wire.VARINT), wire.tag(7, wire.FIXED32), wire.tag(9, wire.LENGTH)
KNOWN = {b"LEAF": -1, b"BRANCH_LEQ": 0, b"BRANCH_LT": 1}


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(wire, "_CHUNK", 64)


@pytest.mark.parametrize("largest", [1, 100, 2**14, 2**28 - 1, 2**28, 2**40, 2**63 - 1])
def test_whole_numbers(largest):
    numbers = np.random.default_rng(0).integers(0 if largest < 2**40 else -largest, largest, 500, endpoint=True)
    numbers[0] = largest
    attribute = AttributeProto(ints=numbers.tolist())
    packed = b"".join(wire.written_varint(int(n) % 2**64) for n in numbers)
    for content, first in ((attribute.SerializeToString(), INTS), (packed, None)):
        found = wire.whole_numbers(content, first)
        np.testing.assert_array_equal(found, numbers)
        assert (found.dtype == np.int32) == (largest < 2**28)


def test_floats():
    numbers = np.random.default_rng(0).normal(size=100).astype(np.float32)
    np.testing.assert_array_equal(wire.floats(AttributeProto(floats=numbers).SerializeToString(), FLOATS), numbers)
    np.testing.assert_array_equal(wire.floats(numbers.tobytes(), None), numbers)


def test_texts():
    texts = [list(KNOWN)[i] for i in np.random.default_rng(0).integers(0, 3, 100)]
    found = wire.known_texts(AttributeProto(strings=texts).SerializeToString(), TEXTS, KNOWN)
    np.testing.assert_array_equal(found, [KNOWN[text] for text in texts])


@pytest.mark.parametrize(
    ("decode", "first", "whole", "other"),
    [
        (wire.whole_numbers, INTS, AttributeProto(ints=[300] * 40), AttributeProto(floats=[1.0])),
        (wire.floats, FLOATS, AttributeProto(floats=[1.0] * 40), AttributeProto(ints=[1, 2, 3])),
        (
            lambda c, f: wire.known_texts(c, f, KNOWN),
            TEXTS,
            AttributeProto(strings=[b"LEAF"] * 40),
            AttributeProto(i=1),
        ),
    ],
)
def test_what_is_damaged_is_refused(decode, first, whole, other):
    content = whole.SerializeToString()
    for damaged in (content[:-1], content[1:], content + other.SerializeToString(), content + b"\xff", content + b"J"):
        with pytest.raises(ValueError, match=r"cut off|another kind|not known|no numbers|longer than"):
            decode(damaged, first)


def test_an_unknown_text():
    with pytest.raises(ValueError, match="not known"):
        wire.known_texts(AttributeProto(strings=[b"LEAF", b"leaf"]).SerializeToString(), TEXTS, KNOWN)


def test_fields():
    node = onnx.helper.make_node("Relu", ["x"], ["y"], name="n", alpha=1.5)
    content = node.SerializeToString()
    found = [(f.number, content[f.value : f.end]) for f in wire.fields(content, 0, len(content))]
    assert found[:4] == [(1, b"x"), (2, b"y"), (3, b"n"), (4, b"Relu")]
    assert found[4] == (5, node.attribute[0].SerializeToString())
    with pytest.raises(ValueError, match="cut off"):
        list(wire.fields(content, 0, len(content) - 1))
