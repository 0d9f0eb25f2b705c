"""Each rewrite of the canonical graph: the same function, and folded exactly where it should be."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnx.parser
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from onnxlrp.source.canonical import canonicalise
from onnxlrp.source.read import read
from tests.operators.case import reference
from tests.source.nets import info, model

DOUBLE = TensorProto.DOUBLE
RNG = np.random.default_rng(12)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def canonical(proto: onnx.ModelProto, **feeds: np.ndarray) -> tuple[Counter, dict[str, str]]:
    """Operators on the data's path of the canonical graph, which computes the same, and what was absorbed."""
    source = read(proto)
    absorbed = canonicalise(source.model)
    for value in source.model.graph.outputs:
        value.shape = None
    rewritten = ir.serde.serialize_model(source.model)
    ours, theirs = reference(rewritten)(feeds), reference(proto)(feeds)
    assert list(ours) == list(theirs)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-10, atol=1e-12)
    reached = set(feeds)
    path = []
    for node in rewritten.graph.node:
        if reached & set(node.input):
            reached |= set(node.output)
            path.append(node.op_type)
    return Counter(path), absorbed


def chain(*steps: tuple, shape: tuple, batch: str | int = "N", out: tuple[str, ...] = ()) -> onnx.ModelProto:
    """Nodes one behind the other, each (operator, operands, attributes): an array is a constant, a text an earlier
    value v0, v1, …, and the previous value comes first where no operand is a text. The last value is the output, and
    `out` more."""
    nodes, constants, previous = [], {}, "x"
    for index, (op, operands, attributes) in enumerate(steps):
        names = [] if any(isinstance(o, str) for o in operands) else [previous]
        for operand in operands:
            name = operand if isinstance(operand, str) else f"c{len(constants)}" if operand is not None else ""
            if isinstance(operand, np.ndarray):
                constants[name] = operand
            names.append(name)
        previous = f"v{index}"
        nodes.append(helper.make_node(op, names, [previous], f"{op}_{index}", **attributes))
    outputs = [info(name, None, DOUBLE) for name in (previous, *out)]
    return model(nodes, [info("x", [batch, *shape], DOUBLE)], outputs, constants)


def batch_norm(channels: int) -> tuple:
    values = [normal(channels), normal(channels), normal(channels), RNG.uniform(0.5, 2, channels)]
    return ("BatchNormalization", values, {"epsilon": 1e-3})


def conv(out: int = 4, channels: int = 3, bias: bool = True, **attributes) -> tuple:
    group = attributes.get("group", 1)
    return ("Conv", [normal(out, channels // group, 3, 3), *([normal(out)] if bias else [])], attributes)


X = {"x": RNG.normal(size=(2, 3, 6, 5))}
ROWS = {"x": RNG.normal(size=(2, 7, 5))}

# ---------------------------------------------------------------------------------------------------- bypass


def test_identities_and_dropout_are_nothing():
    proto = chain(
        ("Identity", [], {}),
        conv(),
        ("Dropout", [np.array(0.5)], {}),
        ("Relu", [], {}),
        ("Identity", [], {}),
        shape=(3, 6, 5),
    )
    assert canonical(proto, **X)[0] == {"Conv": 1, "Relu": 1}


def test_an_identity_between_input_and_output_stays():
    proto = chain(("Identity", [], {}), ("Relu", ["x"], {}), shape=(3, 6, 5), out=("v0",))
    assert canonical(proto, **X)[0] == {"Identity": 1, "Relu": 1}


def test_a_dropout_whose_mask_is_read():
    nodes = [helper.make_node("Dropout", ["x"], ["a", "mask"]), helper.make_node("Where", ["mask", "a", "x"], ["y"])]
    proto = model(nodes, [info("x", ["N", 3], DOUBLE)], [info("y", None, DOUBLE)])
    canonical(proto, x=normal(2, 3))


# ---------------------------------------------------------------------------------------------------- products


@pytest.mark.parametrize("factors", [{}, {"alpha": 0.5}, {"beta": -2.0}, {"alpha": 1.5, "beta": 0.25}])
@pytest.mark.parametrize("turned", [{}, {"transB": 1}])
def test_gemm_without_factors(factors, turned):
    weight = normal(4, 5) if turned else normal(5, 4)
    proto = chain(("Gemm", [weight, normal(4)], {**factors, **turned}), shape=(5,))
    source = read(proto)
    canonicalise(source.model)
    (gemm,) = [n for n in source.model.graph if n.op_type == "Gemm"]
    assert not {"alpha", "beta"} & set(gemm.attributes)
    assert canonical(proto, x=normal(3, 5))[0] == {"Gemm": 1}


def test_gemm_of_transposed_data():
    """The transpose becomes a node; a transposed constant stays an attribute."""
    nodes = [helper.make_node("Gemm", ["x", "w"], ["y"], transA=1, transB=1)]
    proto = model(nodes, [info("x", [5, "N"], DOUBLE)], [info("y", None, DOUBLE)], {"w": normal(4, 5)})
    assert canonical(proto, x=normal(5, 3))[0] == {"Transpose": 1, "Gemm": 1}
    nodes = [helper.make_node("Gemm", ["w", "x"], ["y"], transA=1, transB=1)]
    proto = model(nodes, [info("x", ["N", 5], DOUBLE)], [info("y", None, DOUBLE)], {"w": normal(5, 4)})
    assert canonical(proto, x=normal(3, 5))[0] == {"Transpose": 1, "Gemm": 1}


VECTORS = [((5,), (5, 4)), ((5,), (5,)), ((2, 7, 5), (5,)), ((5,), (3, 5, 4)), ((7, 5), (5,))]


@pytest.mark.parametrize("constant", ["left", "right"])
@pytest.mark.parametrize(("left", "right"), VECTORS)
def test_matmul_of_a_vector(left, right, constant):
    """A matrix of one row or column, squeezed afterwards."""
    arrays = {"left": normal(*left), "right": normal(*right)}
    weight = {constant: arrays.pop(constant)}
    inputs = [info(name, value.shape, DOUBLE) for name, value in arrays.items()]
    proto = model([helper.make_node("MatMul", ["left", "right"], ["y"])], inputs, [info("y", None, DOUBLE)], weight)
    path, _ = canonical(proto, **arrays)
    assert path["MatMul"] == path["Squeeze"] == 1


def test_sizes_of_what_a_loop_was_written_out_to_decide_branches():
    """torch squeezes an axis of an unknown size by a branch, and splits a tensor by a loop."""
    text = """<ir_version: 10, opset_import: ["" : 21]>
    main (double[4, 6] x) => (double[] y) {
        places = Constant <value: tensor = int64[3] {0, 1, 3}> () two = Constant <value: tensor = int64 {2}> ()
        yes = Constant <value: tensor = bool {1}> () axis = Constant <value: tensor = int64[1] {1}> ()
        o = SequenceEmpty <dtype: int = 11> () none = Constant <value: tensor = int64 {0}> ()
        s = Loop (two, yes, o) <body: graph = f (int64 i, bool c, seq(double[N, M]) l)
                => (bool d, seq(double[N, M]) t) {
            one = Constant <value: tensor = int64 {1}> () j = Add (i, one)
            v = Reshape (i, axis) w = Reshape (j, axis) begin = Gather (places, v) end = Gather (places, w)
            p = Slice (x, begin, end, axis) t = SequenceInsert (l, p) d = Identity (c)
        }>
        e = SequenceAt (s, none) sizes = Shape (e) size = Gather (sizes, axis) narrow = Equal (size, axis)
        y = If (narrow) <then_branch: graph = g () => (double[] a) { a = Squeeze (e, axis) },
                         else_branch: graph = h () => (double[] b) { b = Identity (e) }>
    }"""
    proto = onnx.parser.parse_model(text)
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    for branch in proto.graph.node[-1].attribute:
        branch.g.output[0].type.tensor_type.ClearField("shape")
    assert canonical(proto, x=normal(4, 6))[0] == {"Slice": 1, "Squeeze": 1}


def test_a_split_into_pieces_of_an_unknown_size_does_not_stop_the_folding():
    text = """<ir_version: 10, opset_import: ["" : 21]>
    main (double[4, 6] x, int64 n) => (double[2, 12] y) {
        one = Constant <value: tensor = int64 {1}> () m = Add (n, one)
        s = SplitToSequence <axis: int = 1> (x, m)
        e = ConcatFromSequence <axis: int = 1> (s)
        sizes = Constant <value: tensor = int64[2] {1, 6}> () twice = Add (sizes, sizes)
        y = Reshape (e, twice)
    }"""
    path, _ = canonical(onnx.parser.parse_model(text), x=normal(4, 6), n=np.int64(1))
    assert path == {"Add": 1, "SplitToSequence": 1, "ConcatFromSequence": 1, "Reshape": 1}
    source = read(onnx.parser.parse_model(text))
    canonicalise(source.model)
    assert [n.op_type for n in source.model.graph].count("Add") == 1  # the sizes' own sum is folded


def test_folding_that_fails_stops_nothing_else(monkeypatch):
    def failing(*_, **__):
        raise RuntimeError("Error during constant folding for node 'n' (::SplitToSequence)")

    monkeypatch.setattr("onnxlrp.source.canonical.fold_constants", failing)
    assert canonical(padded(pad(0, 0, 1, 2, 0, 0, 3, 0)), **X)[0] == {"Conv": 1}


# ---------------------------------------------------------------------------------------------------- pads


def pad(*pads: int, fill: float | None = None, axes: list[int] | None = None, mode: str = "constant") -> tuple:
    operands: list = [np.array(pads, np.int64)]
    if fill is not None or axes is not None:
        operands.append(None if fill is None else np.array(fill))
    if axes is not None:
        operands.append(np.array(axes, np.int64))
    return ("Pad", operands, {"mode": mode})


def padded(how: tuple, **attributes) -> onnx.ModelProto:
    return chain(how, conv(**attributes), shape=(3, 6, 5))


@pytest.mark.parametrize(
    ("how", "attributes"),
    [
        (pad(0, 0, 1, 2, 0, 0, 3, 0), {}),
        (pad(0, 0, 1, 2, 0, 0, 3, 0, fill=0.0), {"pads": [1, 0, 0, 1]}),
        (pad(1, 2, axes=[3]), {"strides": [2, 2]}),
        (pad(1, 0, 1, 1, axes=[-2, -1]), {"auto_pad": "VALID", "dilations": [1, 2]}),
        (pad(0, 0, 1, 1, 0, 0, 1, 1), {"auto_pad": "SAME_UPPER"}),
    ],
)
def test_a_zero_pad_becomes_the_convolutions(how, attributes):
    path, absorbed = canonical(padded(how, **attributes), **X)
    assert path == {"Conv": 1}
    assert set(absorbed) == {"v0"}


@pytest.mark.parametrize(
    ("how", "attributes"),
    [
        (pad(0, 0, 1, 1, 0, 0, 1, 1, fill=0.5), {}),
        (pad(0, 0, 1, 1, 0, 0, 1, 1, mode="reflect"), {}),
        (pad(1, 0, 0, 0, 0, 0, 0, 0), {}),
        (pad(0, 0, -1, 0, 0, 0, 0, 0), {}),
    ],
)
def test_any_other_pad_stays(how, attributes):
    assert canonical(padded(how, **attributes), **X)[0] == {"Pad": 1, "Conv": 1}


def test_a_pad_that_is_read_elsewhere_too_stays_there():
    proto = chain(
        pad(0, 0, 1, 1, 0, 0, 1, 1), conv(), ("ReduceMean", ["v0"], {}), ("Add", ["v1", "v2"], {}), shape=(3, 6, 5)
    )
    path, absorbed = canonical(proto, **X)
    assert path["Pad"] == 1
    assert not absorbed


def pooled(how: tuple, **attributes) -> onnx.ModelProto:
    return chain(how, ("MaxPool", [], {"kernel_shape": [3, 3]} | attributes), shape=(3, 6, 5))


@pytest.mark.parametrize(
    ("how", "attributes"),
    [
        (pad(0, 0, 1, 2, 0, 0, 0, 1, fill=-np.inf), {"strides": [2, 2]}),
        (pad(1, 1, axes=[3], fill=-np.inf), {"pads": [1, 0, 0, 1], "dilations": [2, 1]}),
    ],
)
def test_a_pad_of_minus_infinity_becomes_the_max_pools(how, attributes):
    path, absorbed = canonical(pooled(how, **attributes), **X)
    assert path == {"MaxPool": 1}
    assert set(absorbed) == {"v0"}


@pytest.mark.parametrize(
    ("how", "attributes"),
    [
        (pad(0, 0, 1, 1, 0, 0, 1, 1), {}),
        (pad(0, 0, 3, 0, 0, 0, 0, 0, fill=-np.inf), {}),
        (pad(0, 0, 1, 0, 0, 0, 1, 0, fill=-np.inf), {"ceil_mode": 1}),
    ],
)
def test_any_other_pad_in_front_of_a_max_pool_stays(how, attributes):
    assert canonical(pooled(how, **attributes), **X)[0] == {"Pad": 1, "MaxPool": 1}


def test_a_pad_in_front_of_a_max_pool_that_says_where_stays():
    """Its places are those of the padded input."""
    pads = {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "edge": np.array(-np.inf)}
    nodes = [
        helper.make_node("Pad", ["x", "pads", "edge"], ["wide"]),
        helper.make_node("MaxPool", ["wide"], ["y", "places"], kernel_shape=[3, 3]),
    ]
    outputs = [info("y", None, DOUBLE), info("places", None, TensorProto.INT64)]
    proto = model(nodes, [info("x", ["N", 3, 6, 5], DOUBLE)], outputs, pads)
    assert canonical(proto, **X)[0] == {"Pad": 1, "MaxPool": 1}


# ---------------------------------------------------------------------------------------------------- affine


def per_channel(*values) -> np.ndarray:
    return np.array(values).reshape(-1, 1, 1)


SCALE, SHIFT = per_channel(0.5, -1.5, 2.0, 0.7), per_channel(1.0, 0.2, -0.4, 0.3)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("group", [1, 2])
def test_batch_norm_into_a_convolution(group, bias):
    proto = chain(conv(4, 4, bias, group=group), batch_norm(4), shape=(4, 6, 5))
    path, absorbed = canonical(proto, x=normal(2, 4, 6, 5))
    assert path == {"Conv": 1}
    assert set(absorbed) == {"v0"}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("group", [1, 2])
def test_batch_norm_into_a_transposed_convolution(group, bias):
    """The weight is [in, out/group, …]: the scale goes along its second axis, group by group."""
    operands = [normal(4, 3, 3, 3), *([normal(3 * group)] if bias else [])]
    step = ("ConvTranspose", operands, {"group": group, "strides": [2, 2]})
    path, _ = canonical(chain(step, batch_norm(3 * group), shape=(4, 4, 3)), x=normal(2, 4, 4, 3))
    assert path == {"ConvTranspose": 1}


@pytest.mark.parametrize("bias", [None, (4,), (1, 4), (1,), ()])
@pytest.mark.parametrize("turned", [0, 1])
def test_batch_norm_into_gemm(turned, bias):
    weight = normal(4, 5) if turned else normal(5, 4)
    operands = [weight] if bias is None else [weight, normal(*bias)]
    path, _ = canonical(chain(("Gemm", operands, {"transB": turned}), batch_norm(4), shape=(5,)), x=normal(3, 5))
    assert path == {"Gemm": 1}


@pytest.mark.parametrize("middle", ["Add", "Sub", None])
def test_batch_norm_into_matmul(middle):
    """Its bias stays an Add behind it."""
    between = [] if middle is None else [(middle, [normal(4)], {})]
    proto = chain(("MatMul", [normal(5, 4)], {}), *between, batch_norm(4), shape=(5,))
    assert canonical(proto, x=normal(3, 5))[0] == {"MatMul": 1, "Add": 1}


@pytest.mark.parametrize("op", ["Add", "Sub"])
def test_a_constant_per_channel_is_the_bias(op):
    proto = chain(conv(bias=False), (op, [SHIFT], {}), ("Relu", [], {}), shape=(3, 6, 5))
    assert canonical(proto, **X)[0] == {"Conv": 1, "Relu": 1}
    proto = chain(conv(), (op, [np.array(0.3)], {}), shape=(3, 6, 5))
    assert canonical(proto, **X)[0] == {"Conv": 1}


@pytest.mark.parametrize("scale", ["Mul", "Div"])
@pytest.mark.parametrize("shift", ["Add", "Sub"])
def test_batch_norm_written_out(scale, shift):
    """A product per channel that a sum with a constant follows."""
    proto = chain(conv(), (scale, [SCALE], {}), (shift, [SHIFT], {}), shape=(3, 6, 5))
    assert canonical(proto, **X)[0] == {"Conv": 1}


def test_two_batch_norms_one_after_the_other():
    assert canonical(chain(conv(), batch_norm(4), batch_norm(4), shape=(3, 6, 5)), **X)[0] == {"Conv": 1}


@pytest.mark.parametrize(
    "steps",
    [
        [conv(), ("Mul", [SCALE], {}), ("Relu", [], {})],
        [conv(), ("Mul", [np.array(2.0)], {}), ("Add", [SHIFT], {})],
        [conv(), ("Add", [normal(4, 4, 3)], {})],
        [conv(), ("Sub", [SHIFT, "v0"], {})],
        [conv(), ("Relu", [], {}), batch_norm(4)],
        [batch_norm(3), conv()],
    ],
    ids=["lone scale", "one number for all", "position table", "constant − value", "behind an activation", "before"],
)
def test_not_folded(steps):
    path, _ = canonical(chain(*steps, shape=(3, 6, 5)), **X)
    assert sum(path.values()) == len(steps)


@pytest.mark.parametrize("shift", [SHIFT, None])
def test_shared_values_are_not_folded(shift):
    """Another reader of the layer's output wants it as it is."""
    affine = batch_norm(4) if shift is None else ("Add", [shift], {})
    proto = chain(conv(), affine, ("Add", ["v0", "v1"], {}), shape=(3, 6, 5))
    assert sum(canonical(proto, **X)[0].values()) == 3


def test_outputs_of_the_graph_are_not_folded():
    proto = chain(conv(), batch_norm(4), shape=(3, 6, 5), out=("v0",))
    assert canonical(proto, **X)[0] == {"Conv": 1, "BatchNormalization": 1}


def test_batch_norm_over_another_axis_is_not_folded():
    """Behind a MatMul of rank 3 it counts axis 1, the product's features are axis 2."""
    proto = chain(("MatMul", [normal(5, 4)], {}), batch_norm(7), shape=(7, 5))
    assert canonical(proto, **ROWS)[0] == {"MatMul": 1, "BatchNormalization": 1}


def test_data_dependent_weights_are_not_folded():
    nodes = [helper.make_node("Conv", ["x", "k"], ["h"]), helper.make_node("Add", ["h", "c"], ["y"])]
    inputs = [info("x", ["N", 3, 6, 5], DOUBLE), info("k", [4, 3, 3, 3], DOUBLE)]
    proto = model(nodes, inputs, [info("y", None, DOUBLE)], {"c": SHIFT})
    assert canonical(proto, **X, k=normal(4, 3, 3, 3))[0] == {"Conv": 1, "Add": 1}


def test_a_shared_weight_is_scaled_once_for_each():
    """Two layers with one weight, each with a batch norm of its own."""
    weight = normal(3, 3, 3, 3)
    both = {"pads": [1, 1, 1, 1]}
    proto = chain(("Conv", [weight], both), batch_norm(3), ("Conv", ["v1", "c0"], both), batch_norm(3), shape=(3, 6, 5))
    assert canonical(proto, **X)[0] == {"Conv": 2}


# ---------------------------------------------------------------------------------------------------- concatenations


def test_concatenations_that_begin_alike():
    """[a, b, c] takes [a, b], and [a, b, c, d] takes that; along another axis, or of two others, nothing is shared."""
    proto = chain(
        ("Relu", [], {}),
        ("Neg", ["x"], {}),
        ("Concat", ["v0", "v1"], {"axis": 1}),
        ("Concat", ["v0", "v1", "x"], {"axis": 1}),
        ("Concat", ["v0", "v1", "x", "v0"], {"axis": 1}),
        ("Concat", ["v0", "v1", "x"], {"axis": 2}),
        ("Concat", ["v1", "v0", "x"], {"axis": 1}),
        shape=(3, 4),
        out=("v2", "v3", "v4", "v5"),
    )
    canonical(proto, x=normal(2, 3, 4))
    source = read(proto)
    canonicalise(source.model)
    operands = [[v.name for v in node.inputs if v] for node in source.model.graph if node.op_type == "Concat"]
    expected = [["v0", "v1"], ["v2", "x"], ["v3", "v0"], ["v0", "v1", "x"], ["v1", "v0", "x"]]
    assert sorted(operands) == sorted(expected)


# ---------------------------------------------------------------------------------------------------- pools


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "pads"),
    [((5, 4), [3, 3], [3, 2], [1, 1, 1, 1]), ((2, 2), [1, 1], [2, 2], [0] * 4), ((7, 6), [4, 2], [4, 4], [2, 0, 2, 1])],
)
def test_windows_that_do_not_exist(op, size, kernel, stride, pads):
    """onnx's shape inference counts windows that would start in the trailing pads; two pools, one behind the other."""
    attributes = {"kernel_shape": kernel, "strides": stride, "pads": pads, "ceil_mode": 1}
    if op == "AveragePool":
        attributes["count_include_pad"] = 1
    proto = chain((op, [], attributes), shape=(2, *size))
    x = normal(2, 2, *size)
    canonical(proto, x=x)
    (y,) = reference(proto)({"x": x}).values()
    source = read(proto)
    assert list(source.model.graph.outputs[0].shape or ())[1:] == list(y.shape[1:])
