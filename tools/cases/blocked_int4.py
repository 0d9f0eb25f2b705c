"""Weights of a few bits, dequantised for a MatMul that onnxruntime fuses with it: outputs must keep their bits."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

import onnxlrp
from tools.cases.lib import Table, quietly, runner

K, N = 256, 64
KINDS = {"INT4": (-8, 8), "UINT4": (0, 16), "INT8": (-128, 128), "UINT8": (0, 256)}
COMPOSITES = ("auto", "epsilon", "gradient")


def model(kind: str, axis: int, block: int) -> onnx.ModelProto:
    """Make `x·W` with W in blocks along an axis."""
    rng = np.random.default_rng(0)
    shape = [K // block, N] if axis == 0 else [K, N // block]
    numbers = rng.integers(*KINDS[kind], K * N).tolist()
    tensors = [
        helper.make_tensor("W", getattr(TensorProto, kind), [K, N], numbers),
        onnx.numpy_helper.from_array(rng.uniform(0.01, 0.1, shape).astype(np.float32), "s"),
    ]
    nodes = [
        helper.make_node("DequantizeLinear", ["W", "s"], ["d"], axis=axis, block_size=block),
        helper.make_node("MatMul", ["x", "d"], ["y"]),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", size]) for n, size in (("x", K), ("y", N)))
    graph = helper.make_graph(nodes, "case", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def main() -> int:
    """Require that every row's outputs equal the source's, bit for bit."""
    table = Table("outputs of products by weights of a few bits")
    x = np.random.default_rng(1).normal(size=(16, K)).astype(np.float32)
    for kind in KINDS:
        for axis, block in ((0, 16), (0, 32), (0, 64), (0, 128), (1, 32)):

            def figure(kind: str = kind, axis: int = axis, block: int = block) -> tuple[bool, str]:
                source = model(kind, axis, block)
                wanted, differences = runner(source)(x), []
                for composite in COMPOSITES:
                    with quietly():
                        explained = onnxlrp.convert(source, composite).to_proto()
                    found = runner(explained, "y")(x)
                    differences.append(float(abs(found - wanted).max() / abs(wanted).max()))
                return max(differences) == 0, f"differ by {max(differences):.2g} of the largest"

            table.attempt(f"{kind}, blocks of {block} along axis {axis}", figure)
    return table.status()


if __name__ == "__main__":
    raise SystemExit(main())
