"""Rows of attention that a mask hides entirely: outputs must stay the source's, and relevance must be finite."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

import onnxlrp
from tools.cases.lib import Table

LOWS = {"-1e9": -1e9, "lowest float32": float(np.finfo(np.float32).min), "-inf": -np.inf}
COMPOSITES = ("attn_lrp", "cp_lrp", "epsilon", "gradient", "auto")
SHAPE = (1, 1, 2, 4)


def model(opset: int, causal: int) -> onnx.ModelProto:
    """Make attention with a float mask [2, 2]."""
    inputs = [make_tensor_value_info(n, TensorProto.FLOAT, SHAPE) for n in "QKV"]
    inputs.append(make_tensor_value_info("M", TensorProto.FLOAT, [2, 2]))
    node = make_node("Attention", list("QKVM"), ["Y"], is_causal=causal)
    graph = make_graph([node], "rows", inputs, [make_tensor_value_info("Y", TensorProto.FLOAT, SHAPE)])
    return make_model(graph, opset_imports=[make_opsetid("", opset)], ir_version=11)


def main() -> int:
    """Hide the first row entirely, and the first key of the second; require equal outputs and finite relevance."""
    table, rng = Table("masked rows: opset, causal, what hides"), np.random.default_rng(0)
    values = {n: rng.normal(size=SHAPE).astype(np.float32) for n in "QKV"}
    for opset, causal, (name, low) in itertools.product((23, 24), (0, 1), LOWS.items()):

        def figure(opset: int = opset, causal: int = causal, low: float = low) -> tuple[bool, str]:
            source, feeds = model(opset, causal), {**values, "M": np.array([[low, low], [low, 0]], np.float32)}
            session = ort.InferenceSession(source.SerializeToString(), providers=["CPUExecutionProvider"])
            deployed, worst, finite = session.run(None, feeds)[0], 0.0, True
            for composite in COMPOSITES:
                explainer = onnxlrp.Explainer(onnxlrp.convert(source, composite, target="weights"))
                found = explainer(feeds, weights=np.ones((1, 1, 1, 4), np.float32))
                worst = max(worst, float(np.abs(found.outputs["Y"] - deployed).max()))
                finite &= all(bool(np.isfinite(r).all()) for r in found.relevance.values())
            return worst < 1e-5 and finite, f"outputs differ by {worst:.1g}, relevance finite: {finite}"

        table.attempt(f"{opset}, {'causal' if causal else 'both ways'}, {name}", figure)
    return table.status()


if __name__ == "__main__":
    raise SystemExit(main())
