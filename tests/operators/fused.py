"""One operator of onnxruntime's own as a model, and what its explained model is held to."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from tests.operators.case import onnxruntime, reference

Array = np.ndarray
FLOAT, INT32 = TensorProto.FLOAT, TensorProto.INT32


def floats(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def ints(values: Any, kind: type = np.int32) -> Array:
    return np.array(values, kind)


@dataclasses.dataclass
class Fused:
    """A node of domain com.microsoft, its operands, and which of them are inputs of the model.

    The others are constants, and None stands for an operand that is left out.
    """

    op: str
    operands: Sequence[Array | None]
    data: Sequence[int] = (0,)
    """Operands that are explained."""
    feeds: Sequence[int] = ()
    """Operands that are inputs too, but carry nothing: masks, ids, lengths."""
    outputs: Mapping[int, int] = dataclasses.field(default_factory=lambda: {0: FLOAT})
    attributes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    domain: str = "com.microsoft"
    opset: int = 21

    def inputs(self, floating: type = np.float32) -> dict[str, Array]:
        return {f"x{i}": self._as(i, floating) for i in sorted({*self.data, *self.feeds})}

    def _as(self, index: int, floating: type) -> Array:
        value = self.operands[index]
        assert value is not None
        return value.astype(floating) if value.dtype == np.float32 else value

    def model(self, floating: type = np.float32, dynamic: bool = True) -> onnx.ModelProto:
        names = [f"x{i}" if v is not None else "" for i, v in enumerate(self.operands)]
        while not names[-1]:
            names.pop()
        results = [f"y{i}" if i in self.outputs else "" for i in range(max(self.outputs) + 1)]
        node = helper.make_node(self.op, names, results, "fused", domain=self.domain, **self.attributes)
        inputs = []
        for name, value in self.inputs(floating).items():
            dims = [f"{name}_{a}" for a in range(value.ndim)] if dynamic else value.shape
            inputs.append(helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), dims))
        fixed = [i for i, v in enumerate(self.operands) if v is not None and i not in {*self.data, *self.feeds}]
        wide = helper.np_dtype_to_tensor_dtype(np.dtype(floating))
        outputs = [
            helper.make_tensor_value_info(f"y{i}", wide if kind == FLOAT else kind, None)
            for i, kind in self.outputs.items()
        ]
        constants = [numpy_helper.from_array(self._as(i, floating), f"x{i}") for i in fixed]
        graph = helper.make_graph([node], "fused", inputs, outputs, constants)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)

    def explain(self, composite: str, floating: type = np.float32, **options: Any) -> onnx.ModelProto:
        dynamic = options.pop("dynamic", True)
        options = {"target": "weights", "output": "y0", **options}
        return onnxlrp.convert(self.model(floating, dynamic), composite, **options).to_proto()


def check_forward(case: Fused, expected: Mapping[str, Array] | None = None, rows: Array | None = None) -> None:
    """The explained model's outputs are the kernel's (or as `expected`, where the CPU has no kernel); `rows`: of the
    first output only these."""
    theirs = expected or onnxruntime(case.model())(case.inputs())
    for dynamic in (True, False):
        ours = onnxruntime(case.explain("gradient", dynamic=dynamic))(case.inputs())
        for name, value in theirs.items():
            keep = rows if rows is not None and name == "y0" else ...
            assert ours[name].shape == value.shape, name
            np.testing.assert_allclose(
                ours[name][keep], value[keep], rtol=2e-5, atol=2e-5, err_msg=f"{name}, {dynamic}"
            )


def check_gradient(case: Fused, step: float = 1e-5, tolerance: float = 1e-6) -> None:
    """In float64 against central differences; in onnxruntime the same."""
    rng = np.random.default_rng(7)
    run = reference(case.explain("gradient", np.float64))
    feeds = case.inputs(np.float64)
    weights = rng.normal(size=run(feeds)["y0"].shape)
    exact = run({**feeds, "y0_weights": weights})
    single = onnxruntime(case.explain("gradient"))({**case.inputs(), "y0_weights": weights.astype(np.float32)})
    for index in case.data:
        name = f"x{index}"
        found, direction = exact[f"{name}_relevance"], rng.normal(size=feeds[name].shape)
        ends = [run({**feeds, name: feeds[name] + s * step * direction})["y0"] for s in (1, -1)]
        expected = ((ends[0] - ends[1]) * weights).sum() / (2 * step)
        np.testing.assert_allclose((found * direction).sum(), expected, rtol=tolerance, atol=tolerance, err_msg=name)
        largest = max(1.0, float(np.abs(found).max()))
        np.testing.assert_allclose(single[f"{name}_relevance"], found, rtol=1e-3, atol=1e-4 * largest, err_msg=name)


def check_ledger(case: Fused, composite: str = "attn_lrp") -> None:
    """Every step closes, and in all what arrives at the inputs is what started but for what is booked. Relevance starts
    at the output itself, also where an activation ends the operator."""
    feeds = case.inputs(np.float64)
    found = reference(case.explain(composite, np.float64, ledger=True, explain_probability=True))(feeds)
    table = found["relevance_ledger"]
    np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=1e-8)
    relevance = {k: v for k, v in found.items() if k.endswith("_relevance")}
    assert relevance.keys() <= {f"x{i}_relevance" for i in case.data}, "a mask, a length or a position got some"
    at_inputs = sum(v.sum() for v in relevance.values())
    np.testing.assert_allclose(found["y0"].sum(), at_inputs + table[:, 2:].sum(), atol=1e-8)
