"""A Llama-shaped model of any size, its weights in a file of their own that is mostly holes."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import TensorProto, parser

_HEAD = """
<ir_version: 10, opset_import: ["" : 21]>
llama (int64[N, T] input_ids) => (float[N, T, {vocabulary}] logits)
<int64[4] apart = {{0, 0, -1, {size}}}, int64[3] joined = {{0, 0, -1}}, int64[5] copies = {{1, 1, {copies}, 1, 1}},
 int64[1] two = {{2}}, int64[4] heads = {{0, {heads}, -1, {size}}}, int64[1] last = {{-1}}, float epsilon = {{0.00001}},
 float square = {{2}}, float root = {{{root}}}, float hidden = {{-3e38}}, int64 zero = {{0}}, int64 one = {{1}},
 int64[1] second = {{1}}, int64[1] middle = {{{half}}}, int64[1] none = {{0}}, int64[1] all = {{{size}}}> {{
  length_ = Shape<start = 1, end = 2>(input_ids)
  length = Squeeze(length_, none)
  places = Range(zero, length, one)
  row = Unsqueeze(places, none)
  column = Unsqueeze(places, second)
  visible = LessOrEqual(row, column)
  place = Cast<to = 1>(column)
  angle = Mul(place, frequencies)
  angles = Concat<axis = -1>(angle, angle)
  cosine = Cos(angles)
  sine = Sin(angles)
  x0 = Gather(embedding, input_ids)
"""
_NORM = """
  {to}s = Pow({x}, square)
  {to}m = ReduceMean<keepdims = 1>({to}s, last)
  {to}e = Add({to}m, epsilon)
  {to}r = Sqrt({to}e)
  {to}n = Div({x}, {to}r)
  {to} = Mul({weight}, {to}n)
"""
_ROTARY = """
  {x}a = Slice({x}, none, middle, last)
  {x}b = Slice({x}, middle, all, last)
  {x}c = Neg({x}b)
  {x}d = Concat<axis = -1>({x}c, {x}a)
  {x}e = Mul({x}, cosine)
  {x}f = Mul({x}d, sine)
  {x}r = Add({x}e, {x}f)
"""
_PROJECTED = """
  {to}p = MatMul({x}, {weight})
  {to}q = Reshape({to}p, apart)
  {to} = Transpose<perm = [0, 2, 1, 3]>({to}q)
"""
_REPEATED = """
  {to}u = Unsqueeze({x}, two)
  {to}t = Tile({to}u, copies)
  {to} = Reshape({to}t, heads)
"""
_BLOCK = (
    _NORM.format(x="x{i}", to="h{i}", weight="norm{i}")
    + "".join(_PROJECTED.format(x="h{i}", to=f"{n}{{i}}", weight=f"w{n}{{i}}") for n in "qkv")
    + _ROTARY.format(x="q{i}")
    + _ROTARY.format(x="k{i}")
    + _REPEATED.format(x="k{i}r", to="keys{i}")
    + _REPEATED.format(x="v{i}", to="values{i}")
    + """
  turned{i} = Transpose<perm = [0, 1, 3, 2]>(keys{i})
  products{i} = MatMul(q{i}r, turned{i})
  scores{i} = Mul(products{i}, root)
  masked{i} = Where(visible, scores{i}, hidden)
  attention{i} = Softmax<axis = -1>(masked{i})
  context{i} = MatMul(attention{i}, values{i})
  back{i} = Transpose<perm = [0, 2, 1, 3]>(context{i})
  flat{i} = Reshape(back{i}, joined)
  out{i} = MatMul(flat{i}, wo{i})
  y{i} = Add(x{i}, out{i})
"""
    + _NORM.format(x="y{i}", to="g{i}", weight="post{i}")
    + """
  gate{i} = MatMul(g{i}, wg{i})
  sigmoid{i} = Sigmoid(gate{i})
  silu{i} = Mul(gate{i}, sigmoid{i})
  up{i} = MatMul(g{i}, wu{i})
  gated{i} = Mul(silu{i}, up{i})
  down{i} = MatMul(gated{i}, wd{i})
  x{next} = Add(y{i}, down{i})
"""
)


def llama(
    folder: Path, *, layers: int, width: int, heads: int, groups: int, inner: int, vocabulary: int
) -> tuple[Path, int]:
    """Write it; its path and the bytes of its weights. float32, and 0 where nobody writes into the file."""
    size = width // heads
    text = _HEAD.format(
        vocabulary=vocabulary, size=size, half=size // 2, copies=heads // groups, heads=heads, root=size**-0.5
    )
    text += "".join(_BLOCK.format(i=i, next=i + 1) for i in range(layers))
    text += _NORM.format(x=f"x{layers}", to="final", weight="norm") + "  logits = MatMul(final, head)\n}"
    shapes = {"frequencies": (size // 2,), "embedding": (vocabulary, width), "norm": (width,)}
    shapes["head"] = (width, vocabulary)
    for i in range(layers):
        shapes |= {f"norm{i}": (width,), f"post{i}": (width,), f"wq{i}": (width, width), f"wo{i}": (width, width)}
        shapes |= {f"wk{i}": (width, groups * size), f"wv{i}": (width, groups * size)}
        shapes |= {f"wg{i}": (width, inner), f"wu{i}": (width, inner), f"wd{i}": (inner, width)}
    model = parser.parse_model(text)
    offset = 0
    for name, shape in shapes.items():
        length = 4
        for d in shape:
            length *= d
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "llama.weights"), ("offset", offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        model.graph.initializer.append(tensor)
        offset += length
    with (folder / "llama.weights").open("wb") as file:
        file.truncate(offset)
    path = folder / "llama.onnx"
    onnx.save(model, path)
    return path, offset
