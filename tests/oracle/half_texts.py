"""Whole models of texts in float16: an encoder as BERT's and a decoder as Mixtral's, as exporters write them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper, parser

Array = np.ndarray
VOCABULARY, WIDTH, INNER, EXPERTS, LENGTH = 23, 32, 48, 4, 7
NUMBERS = {"zero": 0, "half": 0.5, "one": 1, "lowest": -65504, "root": 8**0.5, "root_of_two": 2**0.5}

_ENCODER = """<ir_version: 10, opset_import: ["" : 18]>
encoder (int64[2, 7] ids, int64[2, 7] mask) => (float16[2, 5] scores)
<int64[4] apart = {0, 0, 4, 8}, int64[3] joined = {0, 0, 32}, int64[2] inner_axes = {1, 2}, int64 first_place = {0}> {
  words = Gather(embedding, ids)
  sum = Add(words, places)
  x0 = LayerNormalization(sum, gamma, beta)
  numbers = Cast<to = 10>(mask)
  padded = Sub(one, numbers)
  low = Mul(padded, lowest)
  hidden = Unsqueeze(low, inner_axes)
"""
_ENCODER_BLOCK = """
  {n}p{i} = MatMul(x{i}, w{n}{i})
  {n}b{i} = Add({n}p{i}, b{n}{i})
  {n}r{i} = Reshape({n}b{i}, apart)
  {n}{i} = Transpose<perm = {perm}>({n}r{i})
"""
_ENCODER_REST = """
  product{i} = MatMul(q{i}, k{i})
  scaled{i} = Div(product{i}, root)
  masked{i} = Add(scaled{i}, hidden)
  weights{i} = Softmax<axis = -1>(masked{i})
  mixed{i} = MatMul(weights{i}, v{i})
  turned{i} = Transpose<perm = [0, 2, 1, 3]>(mixed{i})
  flat{i} = Reshape(turned{i}, joined)
  projected{i} = MatMul(flat{i}, wo{i})
  biased{i} = Add(projected{i}, bo{i})
  first{i} = Add(biased{i}, x{i})
  y{i} = LayerNormalization(first{i}, gamma, beta)
  up{i} = MatMul(y{i}, wu{i})
  shifted{i} = Add(up{i}, bu{i})
  parts{i} = Div(shifted{i}, root_of_two)
  erf{i} = Erf(parts{i})
  more{i} = Add(erf{i}, one)
  twice{i} = Mul(shifted{i}, more{i})
  gelu{i} = Mul(twice{i}, half)
  down{i} = MatMul(gelu{i}, wd{i})
  lowered{i} = Add(down{i}, bd{i})
  second{i} = Add(lowered{i}, y{i})
  x{next} = LayerNormalization(second{i}, gamma, beta)
"""
_HEAD = """
  first = Gather<axis = 1>(x4, first_place)
  pool = Gemm(first, wp, bp)
  pooled = Tanh(pool)
  scores = Gemm(pooled, wh, bh)
}"""


def encoder(seed: int, scale: float = 1.0) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Four blocks of attention under a mask of the lowest half, and texts, one of them padded; `scale`: of weights."""
    text, shapes = (
        _ENCODER,
        {"embedding": (VOCABULARY, WIDTH), "places": (LENGTH, WIDTH), "gamma": WIDTH, "beta": WIDTH},
    )
    for i in range(4):
        for n, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
            text += _ENCODER_BLOCK.format(i=i, n=n, perm=perm)
        text += _ENCODER_REST.format(i=i, next=i + 1)
        shapes |= {f"w{n}{i}": (WIDTH, WIDTH) for n in "qkvo"} | {f"b{n}{i}": WIDTH for n in "qkvod"}
        shapes |= {f"wu{i}": (WIDTH, INNER), f"bu{i}": INNER, f"wd{i}": (INNER, WIDTH)}
    shapes |= {"wp": (WIDTH, WIDTH), "bp": WIDTH, "wh": (WIDTH, 5), "bh": 5}
    mask = np.ones((2, LENGTH), np.int64)
    mask[1, -2:] = 0
    return _drawn(text + _HEAD, shapes, seed, scale), {"ids": _ids(seed), "mask": mask}


_DECODER = """<ir_version: 10, opset_import: ["" : 18]>
decoder (int64[2, 7] ids, int64[2, 7] mask) => (float16[2, 7, 23] scores)
<int64[4] queries = {0, 0, 4, 8}, int64[4] groups = {0, 0, 2, 8}, int64[3] joined = {0, 0, 32}, int64[1] two = {2},
 int64[5] copies = {2, 2, 2, 7, 8}, int64[4] wide = {2, 4, 7, 8}, int64[1] last = {-1}, int64[2] inner_axes = {1, 2},
 int64[1] start = {0}, int64[1] middle = {4}, int64[1] end = {8}, int64 nothing = {0}, float square = {2},
 float epsilon = {0.00001}> {
  x0 = Gather(embedding, ids)
  padded_ = Equal(mask, nothing)
  padded = Unsqueeze(padded_, inner_axes)
  never = Or(padded, later)
  hidden = Where(never, lowest, zero)
"""
_NORM = """
  {to}w = Cast<to = 1>({x})
  {to}s = Pow({to}w, square)
  {to}m = ReduceMean<keepdims = 1>({to}s, last)
  {to}e = Add({to}m, epsilon)
  {to}r = Sqrt({to}e)
  {to}d = Div({to}w, {to}r)
  {to}n = Cast<to = 10>({to}d)
  {to} = Mul({to}n, gamma)
"""
_HEADS = """
  {n}p{i} = MatMul(h{i}, w{n}{i})
  {n}r{i} = Reshape({n}p{i}, {shape})
  {n}t{i} = Transpose<perm = [0, 2, 1, 3]>({n}r{i})
"""
_ROTARY = """
  {n}a{i} = Slice({n}t{i}, start, middle, last)
  {n}b{i} = Slice({n}t{i}, middle, end, last)
  {n}c{i} = Neg({n}b{i})
  {n}d{i} = Concat<axis = -1>({n}c{i}, {n}a{i})
  {n}e{i} = Mul({n}t{i}, cosines)
  {n}f{i} = Mul({n}d{i}, sines)
  {n}{i} = Add({n}e{i}, {n}f{i})
"""
_REPEATED = """
  {x}{i}u = Unsqueeze({x}{i}, two)
  {x}{i}e = Expand({x}{i}u, copies)
  {x}{i}w = Reshape({x}{i}e, wide)
"""
_ATTENTION = """
  turned{i} = Transpose<perm = [0, 1, 3, 2]>(k{i}w)
  product{i} = MatMul(q{i}, turned{i})
  scaled{i} = Div(product{i}, root)
  masked{i} = Add(scaled{i}, hidden)
  exact{i} = Cast<to = 1>(masked{i})
  soft{i} = Softmax<axis = -1>(exact{i})
  weights{i} = Cast<to = 10>(soft{i})
  mixed{i} = MatMul(weights{i}, vt{i}w)
  back{i} = Transpose<perm = [0, 2, 1, 3]>(mixed{i})
  flat{i} = Reshape(back{i}, joined)
  projected{i} = MatMul(flat{i}, wo{i})
  y{i} = Add(x{i}, projected{i})
"""
_ROUTER = """
  routed{i} = MatMul(g{i}, wr{i})
  router{i} = Cast<to = 1>(routed{i})
  chances{i} = Softmax<axis = -1>(router{i})
  top{i}, chosen{i} = TopK<axis = -1>(chances{i}, two)
  all{i} = ReduceSum<keepdims = 1>(top{i}, last)
  shares{i}_ = Div(top{i}, all{i})
  shares{i} = Cast<to = 10>(shares{i}_)
"""
_EXPERT = """
  own{e} = Equal(chosen{i}, expert{j})
  some{e} = Cast<to = 10>(own{e})
  each{e} = Mul(shares{i}, some{e})
  share{e} = ReduceSum<keepdims = 1>(each{e}, last)
  gate{e} = MatMul(g{i}, wg{e})
  opened{e} = Sigmoid(gate{e})
  silu{e} = Mul(gate{e}, opened{e})
  up{e} = MatMul(g{i}, wu{e})
  inner{e} = Mul(silu{e}, up{e})
  down{e} = MatMul(inner{e}, wd{e})
  part{e} = Mul(down{e}, share{e})
"""


def decoder(seed: int, scale: float = 1.0) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Two blocks: grouped heads that are turned by their places, and a router over four experts."""
    text, shapes = _DECODER, {"embedding": (VOCABULARY, WIDTH), "gamma": WIDTH, "wh": (WIDTH, VOCABULARY)}
    for i in range(2):
        text += _NORM.format(x=f"x{i}", to=f"h{i}")
        text += "".join(_HEADS.format(i=i, n=n, shape="queries" if n == "q" else "groups") for n in "qkv")
        text += "".join(_ROTARY.format(i=i, n=n) for n in "qk")
        text += "".join(_REPEATED.format(i=i, x=x) for x in ("k", "vt")) + _ATTENTION.format(i=i)
        text += _NORM.format(x=f"y{i}", to=f"g{i}") + _ROUTER.format(i=i)
        names = [f"{i}x{j}" for j in range(EXPERTS)]
        text += "".join(_EXPERT.format(i=i, j=j, e=e) for j, e in enumerate(names))
        text += f"  x{i + 1} = Sum(y{i}, {', '.join(f'part{e}' for e in names)})\n"
        shapes |= {f"w{n}{i}": (WIDTH, WIDTH // (1 if n in "qo" else 2)) for n in "qkvo"} | {f"wr{i}": (WIDTH, EXPERTS)}
        shapes |= {f"w{n}{e}": (WIDTH, INNER) for n in "gu" for e in names} | {f"wd{e}": (INNER, WIDTH) for e in names}
    text += _NORM.format(x="x2", to="normed") + "  scores = MatMul(normed, wh)\n}"
    model, mask = _drawn(text, shapes, seed, scale), np.ones((2, LENGTH), np.int64)
    angles = np.arange(LENGTH)[:, None] * 0.1 ** np.arange(4)
    angles = np.concatenate([angles, angles], 1)
    constants = {"cosines": np.cos(angles).astype(np.float16), "sines": np.sin(angles).astype(np.float16)}
    constants |= {"later": np.triu(np.ones((LENGTH, LENGTH), bool), 1)}
    constants |= {f"expert{j}": np.array(j) for j in range(EXPERTS)}
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    mask[1, :2] = 0
    return model, {"ids": _ids(seed), "mask": mask}


def _drawn(text: str, shapes: dict, seed: int, scale: float) -> onnx.ModelProto:
    """The model, with weights that keep the size of what they multiply, times `scale`."""
    rng, model = np.random.default_rng(seed), parser.parse_model(text)
    for name, shape in shapes.items():
        matrix = isinstance(shape, tuple)
        size = scale / np.sqrt(shape[0]) if matrix and name.startswith("w") else 1.0 if matrix else 0.1
        value = rng.normal(size=shape) * size + (name == "gamma")
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float16), name))
    used = {name for node in model.graph.node for name in node.input}
    numbers = [numpy_helper.from_array(np.array(v, np.float16), k) for k, v in NUMBERS.items() if k in used]
    model.graph.initializer.extend(numbers)
    return model


def _ids(seed: int) -> Array:
    return np.random.default_rng(seed).integers(0, VOCABULARY, (2, LENGTH))
