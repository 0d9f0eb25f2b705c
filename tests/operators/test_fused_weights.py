"""Weights of a few bits in blocks: the kernel runs as it is, relevance goes by the unpacked weights."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import onnxlrp
from onnxlrp.errors import UnsupportedOperatorError
from onnxlrp.source.read import read
from tests.emit.cuda_kernels import missing
from tests.operators.case import onnxruntime
from tests.operators.fused import Array, Fused, check_forward, floats, ints


def packed(numbers: Array, bits: int) -> Array:
    """The lowest bits first, along the last axis, which is padded to whole bytes."""
    each = 8 // bits
    padded = np.pad(numbers, [*[(0, 0)] * (numbers.ndim - 1), (0, -numbers.shape[-1] % each)])
    return sum(padded[..., i::each] << (bits * i) for i in range(each)).astype(np.uint8)


def product(
    bits: int = 4, k: int = 32, n: int = 5, block: int = 16, zeros: str = "", bias: bool = False, **attributes
) -> tuple[Fused, Array]:
    """MatMulNBits, and its weight [K, N]."""
    rng = np.random.default_rng(k + n + bits)
    blocks = -(-k // block)
    numbers, shift = rng.integers(0, 2**bits, (n, blocks, block)), np.full((n, blocks), 2 ** (bits - 1))
    scales = (rng.random((n, blocks)) * 0.2 + 0.05).astype(np.float32)
    given = None
    if zeros == "packed":
        shift = rng.integers(0, 2**bits, (n, blocks))
        given = packed(shift, bits)
    elif zeros == "floats":
        shift = given = (rng.normal(size=(n, blocks)) + 8).astype(np.float32)
    weight = ((numbers - shift[..., None]) * scales[..., None]).reshape(n, -1)[:, :k].T
    operands = [floats(1, 2, 3, k), packed(numbers, bits), scales, given, None, floats(5, n) if bias else None]
    attributes = {"K": k, "N": n, "bits": bits, "block_size": block, **attributes}
    return Fused("MatMulNBits", operands, attributes=attributes), weight


def plain(weight: Array, bias: Array | None) -> onnx.ModelProto:
    """The same layer on floats."""
    nodes = [helper.make_node("MatMul", ["x0", "w"], ["y0" if bias is None else "h"], "fused")]
    tensors = [numpy_helper.from_array(weight.astype(np.float32), "w")]
    if bias is not None:
        nodes.append(helper.make_node("Add", ["h", "b"], ["y0"]))
        tensors.append(numpy_helper.from_array(bias, "b"))
    given = [helper.make_tensor_value_info("x0", onnx.TensorProto.FLOAT, ["N", "S", weight.shape[0]])]
    made = [helper.make_tensor_value_info("y0", onnx.TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "plain", given, made, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def tabled(kind: int) -> tuple[Fused, Array]:
    """MatMulBnb4, and its weight as the kernel has it: what it makes of the identity."""
    rng = np.random.default_rng(kind)
    codes, largest = rng.integers(0, 256, 5 * 32 // 2).astype(np.uint8), (rng.random(10) + 0.5).astype(np.float32)
    attributes = {"K": 32, "N": 5, "block_size": 16, "quant_type": kind}
    case = Fused("MatMulBnb4", [floats(1, 2, 3, 32), codes, largest, None, None, None], attributes=attributes)
    identity = np.eye(32, dtype=np.float32)[None]
    return case, onnxruntime(case.model())({"x0": identity})["y0"][0]


CASES = {
    **{f"{name} of bitsandbytes": tabled(kind) for kind, name in enumerate(("FP4", "NF4"))},
    **{f"{bits} bits": product(bits) for bits in (2, 4, 8)},
    **{f"{bits} bits, zero points": product(bits, zeros="packed") for bits in (2, 4, 8)},
    "4 bits, zero points in floats": product(4, zeros="floats"),
    "2 bits, a block begun": product(2, k=40, zeros="packed"),
    "4 bits, a block begun": product(4, k=40, n=3, zeros="packed"),
    "bias": product(8, block=32, bias=True),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("composite", ["epsilon", "gradient", "gamma"])
def test_it_is_the_layer_on_unpacked_weights(name, composite):
    case, weight = CASES[name]
    check_forward(case)
    rules = [("fused", "Gamma(0.25)")] if composite == "gamma" else []
    composite = "epsilon_plus" if rules else composite
    found = onnxruntime(case.explain(composite, rules=rules))(case.inputs())
    theirs = onnxlrp.convert(plain(weight, case.operands[5]), composite, target="weights", rules=rules).to_proto()
    expected = onnxruntime(theirs)(case.inputs())
    np.testing.assert_allclose(found["y0"], expected["y0"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["x0_relevance"], expected["x0_relevance"], rtol=2e-3, atol=2e-4)


def test_the_forward_keeps_its_kernel():
    case, _ = product()
    explained = case.explain("epsilon")
    assert [n.op_type for n in explained.graph.node].count("MatMulNBits") == 1
    found, source = onnxruntime(explained)(case.inputs()), onnxruntime(case.model())(case.inputs())
    np.testing.assert_array_equal(found["y0"], source["y0"])


@pytest.mark.parametrize("level", [0, 4])
@pytest.mark.parametrize("bias", [False, True])
def test_the_ledger_closes(level, bias):
    """At level 4 the kernel rounds its input: shares are of what the layer makes of the input itself."""
    case, _ = product(bias=bias, accuracy_level=level)
    found = onnxruntime(case.explain("epsilon", ledger=True))(case.inputs())
    table = found["relevance_ledger"]
    np.testing.assert_allclose(table[:, 0], table[:, 1:].sum(1), atol=1e-5 * np.abs(found["y0"]).sum())
    np.testing.assert_allclose(found["y0"].sum(), found["x0_relevance"].sum() + table[:, 2:].sum(), atol=1e-3)


@pytest.mark.parametrize("composite", ["epsilon", "gradient"])
def test_unpacking_needs_no_kernel_that_cuda_lacks(composite):
    for case, _ in CASES.values():
        assert missing(case.explain(composite)) == []


def test_shapes_go_through_it():
    """What is computed from the shape of its output is known, and a bias behind it belongs to it."""
    case, _ = product()
    model = case.model()
    model.graph.node.extend(
        [
            helper.make_node("Add", ["y0", "b"], ["h"]),
            helper.make_node("Shape", ["h"], ["s"]),
            helper.make_node("Reshape", ["h", "s"], ["y"]),
        ]
    )
    model.graph.initializer.append(numpy_helper.from_array(floats(8, 5), "b"))
    model.graph.output[0].name = "y"
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 32
    shape = read(model).model.graph.outputs[0].shape
    assert shape is not None and [str(d) for d in shape] == ["x0_0", "x0_1", "5"]
    plan = onnxlrp.convert(model, "epsilon", target="weights").plan
    assert [row.operator for row in plan.rows()][-1] == "MatMulNBits+Add"
    assert not onnx.defs.has("MatMulNBits", domain="com.microsoft"), "onnx was left with an operator it does not have"


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"bits": 3}, "3 bits"), ({"weight_prepacked": 1}, "one device"), ({"g_idx": 1}, "g_idx")],
)
def test_what_has_no_rule_is_refused_by_name(change, reason):
    case, _ = product()
    if "g_idx" in change:
        case.operands = [*case.operands[:4], ints([0] * 32), None]
    else:
        case.attributes = {**case.attributes, **change}
    with pytest.raises(UnsupportedOperatorError, match=rf"com\.microsoft::MatMulNBits.*'fused': .*{reason}"):
        case.explain("epsilon")


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("zeros", [False, True])
def test_a_table_in_blocks(bits, zeros):
    """GatherBlockQuantized: relevance is summed over the embedding, to the ids."""
    rng = np.random.default_rng(bits)
    table, scales = rng.integers(0, 2**bits, (5, 32)), rng.random((5, 2)).astype(np.float32)
    shift = packed(rng.integers(0, 2**bits, (5, 2)), bits) if zeros else None
    operands = [packed(table, bits), ints([[1, 2, 0], [0, 4, 3]], np.int64), scales, shift]
    attributes = {"bits": bits, "block_size": 16, "quantize_axis": 1, "gather_axis": 0}
    case = Fused("GatherBlockQuantized", operands, data=(1,), attributes=attributes)
    check_forward(case)
    found = onnxruntime(case.explain("epsilon", ledger=True))(case.inputs())
    np.testing.assert_allclose(found["x1_relevance"], found["y0"].sum(-1), rtol=1e-4, atol=1e-4)
    assert [step.why for step in onnxlrp.convert(case.model(), target="weights").plan.steps] == ["embedding lookup"]
