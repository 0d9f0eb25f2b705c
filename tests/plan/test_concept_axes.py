"""The axis that a mask of concepts runs along is told by the graph: channels, heads or features."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

import onnxlrp
from onnxlrp.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::onnxlrp.errors.ExplanationWarning")


def model(body: str, shape: str, **weights: tuple[int, ...]) -> onnx.ModelProto:
    text = f'<ir_version: 10, opset_import: ["" : 21]> net (float[{shape}] x) => (float[N, 2] y) {{ {body} }}'
    proto = onnx.parser.parse_model(text)
    rng = np.random.default_rng(0)
    for name, size in weights.items():
        array = np.array(size) if name.startswith("i") else rng.normal(size=size).astype(np.float32)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    return proto


END = "m = GlobalAveragePool(e)  n = Flatten(m)  y = MatMul(n, U)"
LAYERS = f"c = Conv(x, W)  d = Relu(c)  e = Conv(d, V)  {END}"
PICTURE = {"W": (5, 3, 3, 3), "V": (4, 5, 1, 1), "U": (4, 2)}
ATTENTION = """
    p = MatMul(x, Q)  q4 = Reshape(p, ishape)  q = Transpose<perm=[0,2,1,3]>(q4)  k = Transpose<perm=[0,2,3,1]>(q4)
    s = MatMul(q, k)  a = Softmax<axis=-1>(s)  o = MatMul(a, q)  t = Transpose<perm=[0,2,1,3]>(o)
    u = Reshape(t, ijoined)  m = ReduceMean<keepdims=0>(u, iaxes)  y = MatMul(m, U)"""
HEADS = {"Q": (6, 6), "ishape": (0, 0, 3, 2), "ijoined": (0, 0, 6), "iaxes": (1,), "U": (6, 2)}
CASES = {
    "convolution": (
        f"c = Conv(x, W)  d = Relu(c)  e = Conv(d, V)  {END}",
        "N,3,6,6",
        PICTURE,
        "d",
        (0, 1, "channels", 5),
    ),
    "global pool": (
        f"c = Conv(x, W)  d = Relu(c)  e = Conv(d, V)  {END}",
        "N,3,6,6",
        PICTURE,
        "m",
        (0, 1, "channels", 4),
    ),
    "channels last": (
        f"t = Transpose<perm=[0,3,1,2]>(x)  c = Conv(t, W)  d = Transpose<perm=[0,2,3,1]>(c)  r = Relu(d)"
        f"  b = Transpose<perm=[0,3,1,2]>(r)  e = Conv(b, V)  {END}",
        "N,6,6,3",
        PICTURE,
        "r",
        (0, 3, "channels", 5),
    ),
    "upstream of the first convolution": (
        f"s = Mul(x, x)  t = Transpose<perm=[0,3,1,2]>(s)  c = Conv(t, W)  d = Relu(c)  e = Conv(d, V)  {END}",
        "N,6,6,3",
        PICTURE,
        "s",
        (0, 3, "channels", 3),
    ),
    "series": (
        f"c = Conv(x, W)  d = Relu(c)  e = Conv(d, V)  {END}",
        "N,3,9",
        {"W": (5, 3, 3), "V": (4, 5, 1), "U": (4, 2)},
        "d",
        (0, 1, "channels", 5),
    ),
    "tokens": (
        "h = MatMul(x, W)  r = Relu(h)  m = ReduceMean<keepdims=0>(r, iaxes)  y = MatMul(m, U)",
        "N,7,3",
        {"W": (3, 5), "U": (5, 2), "iaxes": (1,)},
        "r",
        (0, 2, "features", 5),
    ),
    "weights of attention": (ATTENTION, "N,4,6", HEADS, "a", (0, 1, "heads", 3)),
    "product of attention": (ATTENTION, "N,4,6", HEADS, "o", (0, 1, "heads", 3)),
    "queries": (ATTENTION, "N,4,6", HEADS, "q", (0, 1, "heads", 3)),
    "attention put together": (ATTENTION, "N,4,6", HEADS, "u", (0, 2, "features", 6)),
    "time first": (
        "t = Transpose<perm=[1,0,2]>(x)  h = MatMul(t, W)  r = Relu(h)  m = ReduceMean<keepdims=0>(r, iaxes)"
        "  y = MatMul(m, U)",
        "N,7,3",
        {"W": (3, 5), "U": (5, 2), "iaxes": (0,)},
        "r",
        (1, 2, "features", 5),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_axes(case):
    body, shape, weights, value, (samples, channels, kind, count) = CASES[case]
    proto = model(body, shape, **weights)
    composite = "attn_lrp" if "attention" in case else "epsilon"
    explained = onnxlrp.convert(proto, composite, concepts=[value])
    (note,) = [note for note in explained.notes if note.startswith("the mask of")]
    beside = note.endswith("; relevance passes beside it, too, which a mask of zeros shows")
    assert note.startswith(f"the mask of '{value}' runs along its {count} {kind}, axis {channels}")
    assert beside == (value in ("a", "q"))  # the values, beside the weights of attention, and keys beside queries
    explainer = onnxlrp.Explainer(onnxlrp.convert(proto, composite, concepts=[value], relevance_at=[value]))
    sizes = [int(size) for size in shape.split(",")[1:]]
    x = np.random.default_rng(1).normal(size=(2, *sizes)).astype(np.float32)
    mask = np.zeros((2, count), np.float32)
    mask[0, 1] = mask[1, 0] = 1
    every, some = explainer(x).relevance_at[value], explainer(x, channels=mask).relevance_at[value]
    order = (samples, channels, *(axis for axis in range(every.ndim) if axis not in (samples, channels)))
    every, some = every.transpose(order), some.transpose(order)
    np.testing.assert_allclose(some, every * mask.reshape(2, count, *[1] * (every.ndim - 2)), atol=1e-6)
    assert np.abs(some).max() > 0


LOOP = """
    trips = Constant<value = int64 {2}>()  yes = Constant<value = bool {1}>()  h0 = MatMul(x, W)
    h = Loop<body = body (int64 i, bool c, float[N,2] s) => (bool d, float[N,2] z) {
        inner = Relu(s)  d = Identity(c)  z = MatMul(inner, V) }>(trips, yes, h0)
    y = Identity(h)"""


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("inner", "'inner' lies inside a body of Loop .* name a value outside"),
        ("h00", "no inner value 'h00' .did you mean 'h0'"),
    ],
)
def test_values_without_a_mask(value, message):
    proto = model(LOOP, "N,3", W=(3, 2), V=(2, 2))
    onnxlrp.convert(proto, "epsilon", concepts=["h0"])
    with pytest.raises(InputError, match=message):
        onnxlrp.convert(proto, "epsilon", concepts=[value])


def test_a_value_that_was_folded():
    names = {"W": (4, 3, 3, 3), "S": (4,), "B": (4,), "M": (4,), "P": (4,), "U": (4, 2)}
    body = f"h = Conv(x, W)  e = BatchNormalization(h, S, B, M, P)  {END}"
    proto = model(body, "N,3,6,6", **names)
    for tensor in proto.graph.initializer:
        if tensor.name == "P":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.ones(4, np.float32), "P"))
    with pytest.raises(InputError, match="'h' lies inside one step"):
        onnxlrp.convert(proto, "epsilon", concepts=["h"])
    assert onnxlrp.convert(proto, "epsilon", concepts=["e"]).interface.mask_inputs == {"e": "e_mask"}


def test_a_value_without_channels():
    proto = model(
        "h = MatMul(x, W)  v = ReduceSum<keepdims=0>(h, iaxes)  r = Relu(v)  u = Unsqueeze(r, iaxes)"
        "  y = Concat<axis=1>(u, u)",
        "N,3",
        W=(3, 2),
        iaxes=(1,),
    )
    with pytest.raises(InputError, match="'r' has no axis of channels that a mask could run along: it has 1 axes"):
        onnxlrp.convert(proto, "epsilon", concepts=["r"])
