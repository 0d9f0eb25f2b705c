"""Networks that are tried in half precision, and what they are fed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from tests.oracle.half import in_type
from tests.oracle.net import Net
from tests.oracle.zoo import NETS

Array = np.ndarray
SIZE = (3, 8, 8)
MODELS = Path(__file__).parent.parent.parent / "models"
OF_EVERY_KIND = ["residual", "depthwise", "smooth", "transposed", "mixer", "attention", "digits_lstm"]


def network(scale: float = 1.0, *, pool: bool = True) -> onnx.ModelProto:
    """A stem, a residual sum, a pool and dense layers; `scale`: of the last, and so of the scores."""
    net = Net(3, x=SIZE)
    h = net.relu(net.conv("x", 8, pads=[1, 1, 1, 1]))
    h = net.relu(net.sum(net.conv(h, 8, pads=[1, 1, 1, 1]), h))
    h = net.max_pool(h, 2, strides=[2, 2]) if pool else h
    h = net.relu(net.conv(h, 6))
    model = net.output(net.gemm(net.relu(net.gemm(net.flatten(h), 8)), 5)).model(dynamic=True)
    last = model.graph.node[-1].input[1]
    model.graph.node[-1].output[0] = model.graph.output[0].name = "y"
    return in_type(model, TensorProto.FLOAT, {last: scale})


def pictures(count: int, seed: int = 0, kind: type = np.float32) -> dict[str, Array]:
    return {"x": np.random.default_rng(seed).normal(size=(count, *SIZE)).astype(np.float16).astype(kind)}


def attention() -> onnx.ModelProto:
    """A block of one head, with norms and a gated unit."""
    rng = np.random.default_rng(4)
    model = onnx.parser.parse_model("""<ir_version: 10, opset_import: ["": 21]>
        block (float[N, 5, 8] x) => (float[N, 4] y) {
            q = MatMul(x, wq)  k = MatMul(x, wk)  v = MatMul(x, wv)
            turned = Transpose <perm = [0, 2, 1]> (k)
            scores = MatMul(q, turned)
            scaled = Mul(scores, small)
            weights = Softmax <axis = -1> (scaled)
            mixed = MatMul(weights, v)
            sum = Add(x, mixed)
            normal = LayerNormalization <axis = -1> (sum, gamma, beta)
            up = MatMul(normal, wu)  gate = MatMul(normal, wg)
            opened = Sigmoid(gate)
            gated = Mul(up, opened)
            pooled = ReduceMean <keepdims = 0> (gated, one)
            y = Gemm(pooled, last, bias)
        }""")
    shapes = {"wq": (8, 8), "wk": (8, 8), "wv": (8, 8), "gamma": 8, "beta": 8, "wu": (8, 6), "wg": (8, 6)}
    drawn = {k: rng.normal(size=v) for k, v in {**shapes, "last": (6, 4), "bias": 4}.items()}
    constants = {k: v.astype(np.float32) for k, v in {**drawn, "small": np.array(8**-0.5)}.items()}
    model.graph.initializer.extend(numpy_helper.from_array(v, k) for k, v in constants.items())
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "one"))
    return model


def explained_model(name: str) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """A model by its name, and 20 inputs that float16 holds."""
    rng = np.random.default_rng(2)
    if name == "digits_lstm":
        rows = np.load(MODELS / "digits_lstm/samples.npz")["rows"]
        return onnx.load(MODELS / "digits_lstm/digits_lstm.onnx"), {"rows": rows[:20].astype(np.float16)}
    if name in NETS:
        net = NETS[name]()
        return net.model(), {k: v.astype(np.float16) for k, v in net.feeds(20).items()}
    return attention(), {"x": rng.normal(size=(20, 5, 8)).astype(np.float16)}
