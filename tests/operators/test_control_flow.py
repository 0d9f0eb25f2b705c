"""If, Loop and Scan: the relevance of a body is that of the same operators written out one after the other."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import parser

import onnxlrp
from onnxlrp.errors import UnsupportedOperatorError
from tests.operators.case import onnxruntime, reference

W = np.random.default_rng(0).normal(size=(3, 3))
V = np.random.default_rng(1).normal(size=(3, 3))
HEAD = '<ir_version: 10, opset_import: ["" : 21]>\n'


def model(text: str, **constants: np.ndarray) -> onnx.ModelProto:
    """A model from ONNX's text form, with its constants."""
    made = parser.parse_model(HEAD + text)
    for name, array in {"W": W, "V": V, **constants}.items():
        made.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return made


LOOP = """main (double[N, 3] x, int64 n) => (double[N, 3] y) {
    yes = Constant <value: tensor = bool {1}> ()
    y = Loop (n, yes, x) <body: graph = step (int64 i, bool going, double[A, B] h) => (bool on, double[A, B] out) {
        on = Identity (going)
        z = MatMul (h, W)
        r = Relu (z)
        out = Add (r, x)
    }>
}"""
SCAN = """main (double[3, N, 3] s, double[N, 3] x) => (double[N, 3] y, double[3, N, 3] all) {
    y, all = Scan <num_scan_inputs: int = 1, body: graph = step (double[N, 3] h, double[N, 3] u)
        => (double[N, 3] out, double[N, 3] seen) {
        z = MatMul (h, W)
        v = MatMul (u, V)
        sum = Add (z, v)
        out = Relu (sum)
        seen = Add (out, x)
    }> (x, s)
}"""
BRANCH = """main (double[N, 3] x, bool c) => (double[N, 3] y) {
    h = MatMul (x, W)
    y = If (c) <
        then_branch: graph = yes () => (double[N, 3] a) {
            p = Relu (h)
            q = MatMul (p, V)
            a = If (c) <
                then_branch: graph = inner_yes () => (double[N, 3] d) { d = Add (q, x) },
                else_branch: graph = inner_no () => (double[N, 3] e) { e = Identity (q) }
            >
        },
        else_branch: graph = no () => (double[N, 3] b) { b = Sub (x, h) }
    >
}"""


def unrolled(steps: int) -> str:
    lines, h = [], "x"
    for k in range(steps):
        lines.append(f"z{k} = MatMul ({h}, W) r{k} = Relu (z{k}) h{k} = Add (r{k}, x)")
        h = f"h{k}"
    return f"main (double[N, 3] x) => (double[N, 3] y) {{ {' '.join(lines)} y = Identity ({h}) }}"


def relevance(source: onnx.ModelProto, feeds: dict, composite: str, **options) -> dict[str, np.ndarray]:
    """Outputs of the explained model in float64, the source's own checked on the way."""
    explained = onnxlrp.convert(source, composite, target="weights", **options)
    found = reference(explained.to_proto())(feeds)
    for name, value in reference(source)(feeds).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, err_msg=name)
    return found


def check_slope(gradient: np.ndarray, y: Callable[[np.ndarray], float], x: np.ndarray) -> None:
    """A gradient against central differences along one direction."""
    direction = rows(6)
    difference = (y(x + 1e-6 * direction) - y(x - 1e-6 * direction)) / 2e-6
    assert np.isclose((gradient * direction).sum(), difference, rtol=1e-6)


def rows(seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, 3))


COMPOSITES = ("epsilon", "epsilon_plus", "lrp0", "gradient", "epsilon_plus_flat")


@pytest.mark.parametrize("steps", [1, 2, 7])
@pytest.mark.parametrize("composite", COMPOSITES)
def test_a_loop_is_its_steps_written_out(composite, steps):
    x = rows()
    ours = relevance(model(LOOP), {"x": x, "n": np.int64(steps)}, composite)
    theirs = relevance(model(unrolled(steps)), {"x": x}, composite)
    if composite == "epsilon_plus_flat":
        # Of a loop's one dense layer every step is the same layer: it is a first one in all or in none.
        assert np.isfinite(ours["x_relevance"]).all()
        return
    np.testing.assert_allclose(ours["x_relevance"], theirs["x_relevance"], rtol=1e-9, atol=1e-12)


def test_a_loop_of_no_steps_hands_everything_through():
    x = rows()
    found = relevance(model(LOOP), {"x": x, "n": np.int64(0)}, "epsilon")
    np.testing.assert_array_equal(found["x_relevance"], x)


def test_a_loop_that_never_takes_a_step_and_is_read():
    """Runtimes hand out stacks of no steps whose sizes nobody can foresee."""
    text = """main (double[N, 3] x) => (double[N, 3] y) {
        none = Constant <value: tensor = int64 {0}> ()
        yes = Constant <value: tensor = bool {1}> ()
        axis = Constant <value: tensor = int64[1] {0}> ()
        last, all = Loop (none, yes, x) <body: graph = step (int64 i, bool going, double[N, 3] h) => (bool on, double[N, 3] out, double[N, 3] seen) {
            on = Identity (going)
            out = Relu (h)
            seen = Identity (out)
        }>
        total = ReduceSum <keepdims: int = 0> (all, axis)
        y = Add (last, total)
    }"""  # noqa: E501
    with pytest.raises(UnsupportedOperatorError, match=r"Loop.*it never takes a step"):
        onnxlrp.convert(model(text), target="weights")
    proto = model(text.replace("int64 {0}", "int64 {2}"))
    assert onnxlrp.convert(proto, target="weights").interface.output == "y"


def test_a_loop_that_ends_by_its_condition():
    text = LOOP.replace("on = Identity (going)", "three = Constant <value: tensor = int64 {2}> () on = Less (i, three)")
    x = rows()
    ours = relevance(model(text), {"x": x, "n": np.int64(99)}, "epsilon")
    theirs = relevance(model(unrolled(3)), {"x": x}, "epsilon")
    np.testing.assert_allclose(ours["x_relevance"], theirs["x_relevance"], rtol=1e-9)


def test_a_carried_value_that_grows_is_kept_in_a_list():
    text = """main (double[N, 3] x, int64 n) => (double[M, 3] y) {
        yes = Constant <value: tensor = bool {1}> ()
        y = Loop (n, yes, x) <body: graph = step (int64 i, bool going, double[A, 3] h) => (bool on, double[B, 3] out) {
            on = Identity (going)
            z = MatMul (x, W)
            sq = Mul (h, h)
            out = Concat <axis: int = 0> (sq, z)
        }>
    }"""
    x = rows()
    w = np.random.default_rng(5).normal(size=(8, 3))
    explained = onnxlrp.convert(model(text), "gradient", target="weights").to_proto()
    for run in (reference, onnxruntime):
        gradient = run(explained)({"x": x, "n": np.int64(3), "y_weights": w})["x_relevance"]

        def y(at: np.ndarray) -> float:
            h = at
            for _ in range(3):
                h = np.concatenate([h * h, at @ W])
            return float((h * w).sum())

        check_slope(gradient, y, x)


def test_two_carried_values_that_grow():
    """A list each: putting the second in must not lose the first."""
    text = """main (double[N, 3] x, int64 n) => (double[M, 3] y) {
        yes = Constant <value: tensor = bool {1}> ()
        a, b = Loop (n, yes, x, x) <body: graph = step (int64 i, bool going, double[A, 3] g, double[B, 3] h)
                => (bool on, double[C, 3] out, double[D, 3] also) {
            on = Identity (going)
            gg = Mul (g, g) hh = Mul (h, h)
            z = MatMul (x, W)
            out = Concat <axis: int = 0> (hh, z)
            also = Concat <axis: int = 0> (gg, x)
        }>
        y = Mul (a, b)
    }"""
    x = rows()
    explained = onnxlrp.convert(model(text), "gradient", target="weights").to_proto()
    for run in (reference, onnxruntime):
        gradient = run(explained)({"x": x, "n": np.int64(3)})["x_relevance"]

        def y(at: np.ndarray) -> float:
            g = h = at
            for _ in range(3):
                g, h = np.concatenate([h * h, at @ W]), np.concatenate([g * g, at])
            return float((g * h).sum())

        check_slope(gradient, y, x)


def test_a_state_that_no_step_reads():
    """Keras' masked LSTM carries its last output along; where nothing reads it, it gets zeros of its size."""
    text = """main (double[N, 3] x, int64 n) => (double[N, 3] y) {
        yes = Constant <value: tensor = bool {1}> ()
        half = Shape (x)
        start = Expand (x, half)
        last, y = Loop (n, yes, start, x) <body: graph = step (int64 i, bool going, double[A, 3] unread, double[B, 3] h)
                => (bool on, double[C, 3] out, double[D, 3] same) {
            on = Identity (going)
            out = MatMul (h, W)
            same = Identity (out)
        }>
    }"""
    x = rows()
    ours = relevance(model(text), {"x": x, "n": np.int64(2)}, "epsilon", output="y")
    plain = "main (double[N, 3] x) => (double[N, 3] y) { h = MatMul (x, W) y = MatMul (h, W) }"
    theirs = relevance(model(plain), {"x": x}, "epsilon")
    np.testing.assert_allclose(ours["x_relevance"], theirs["x_relevance"], rtol=1e-9)


@pytest.mark.parametrize("start", [0, 1])
def test_a_loop_that_counts_its_steps_itself(start):
    """tf2onnx reads x[k] by a state k: from 0 on a slice a step goes back, not a whole tensor with one slice."""
    text = """main (double[T, N, 3] x, double[N, 3] h0, int64 n) => (double[N, 3] y) {
        yes = Constant <value: tensor = bool {1}> ()
        first = Constant <value: tensor = int32 {START}> ()
        one = Constant <value: tensor = int32 {1}> ()
        k, y = Loop (n, yes, first, h0) <body: graph = step (int64 i, bool going, int32 at, double[N, 3] h)
                => (bool on, int32 next, double[N, 3] out) {
            on = Identity (going)
            next = Add (at, one)
            row = Gather <axis: int = 0> (x, at)
            z = MatMul (h, W)
            out = Add (z, row)
        }>
    }""".replace("START", str(start))
    x, h0 = np.random.default_rng(7).normal(size=(5, 2, 3)), rows()
    source = model(text)
    explained = onnxlrp.convert(source, "gradient", target="weights").to_proto()
    found = onnxruntime(explained)({"x": x, "h0": h0, "n": np.int64(3)})
    expected, back = np.zeros_like(x), np.ones_like(h0)
    for step in reversed(range(3)):
        expected[start + step], back = back, back @ W.T
    np.testing.assert_allclose(found["x_relevance"], expected, rtol=1e-9)
    np.testing.assert_allclose(found["h0_relevance"], back, rtol=1e-9)
    (way_back,) = [n for n in explained.graph.node if n.op_type == "Loop" and "_back" in n.output[0]]
    scattered = {n.op_type for n in way_back.attribute[0].g.node} & {"ScatterElements", "Scatter", "ScatterND", "Pad"}
    assert bool(scattered) == (start != 0)


SCANNED = [({}, [0, 1, 2]), ({"scan_input_directions": [1]}, [2, 1, 0])]


@pytest.mark.parametrize(("attributes", "order"), SCANNED, ids=["forwards", "backwards"])
@pytest.mark.parametrize("composite", ["epsilon", "gradient"])
def test_a_scan_is_its_steps_written_out(composite, attributes, order):
    s, x = np.random.default_rng(3).normal(size=(3, 2, 3)), rows()
    source = model(SCAN)
    for name, value in attributes.items():
        source.graph.node[0].attribute.append(onnx.helper.make_attribute(name, value))
    lines, h = [], "x"
    for k, at in enumerate(order):
        lines.append(f"i{k} = Constant <value: tensor = int64 {{{at}}}> () u{k} = Gather (s, i{k})")
        lines.append(f"z{k} = MatMul ({h}, W)")
        lines.append(f"v{k} = MatMul (u{k}, V) a{k} = Add (z{k}, v{k}) h{k} = Relu (a{k}) o{k} = Add (h{k}, x)")
        lines.append(f"p{k} = Unsqueeze (o{k}, zero)")
        h = f"h{k}"
    written = f"""main (double[3, N, 3] s, double[N, 3] x) => (double[N, 3] y, double[3, N, 3] all) {{
        {" ".join(lines)} y = Identity ({h}) all = Concat <axis: int = 0> (p0, p1, p2) }}"""
    for output in ("y", "all"):
        ours = relevance(source, {"s": s, "x": x}, composite, output=output)
        theirs = relevance(model(written, zero=np.array([0])), {"s": s, "x": x}, composite, output=output)
        for name in ("s_relevance", "x_relevance"):
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-8, atol=1e-12, err_msg=f"{output}: {name}")


def test_a_scan_along_other_axes():
    text = """main (double[N, T] s) => (double[N, T] all) {
        zero = Constant <value: tensor = double {0}> ()
        shape = Shape <start: int = 0, end: int = 1> (s)
        start = Expand (zero, shape)
        last, all = Scan <num_scan_inputs: int = 1, scan_input_axes: ints = [1], scan_output_axes: ints = [1],
            scan_output_directions: ints = [1], body: graph = step (double[N] h, double[N] u)
            => (double[N] out, double[N] seen) {
            two = Mul (u, u)
            out = Add (h, two)
            seen = Sin (out)
        }> (start, s)
    }"""
    s, w = np.random.default_rng(4).normal(size=(2, 5)), np.random.default_rng(5).normal(size=(2, 5))
    explained = onnxlrp.convert(model(text), "gradient", target="weights").to_proto()
    gradient = reference(explained)({"s": s, "all_weights": w})["s_relevance"]
    slopes = np.cos(np.cumsum(s * s, 1)) * w[:, ::-1]
    np.testing.assert_allclose(gradient, 2 * s * np.cumsum(slopes[:, ::-1], 1)[:, ::-1], rtol=1e-9)


def test_a_condition_is_no_input_to_explain():
    """A truth value that chooses branches gets no relevance, also where a branch inside a branch reads it."""
    assert list(onnxlrp.convert(model(BRANCH)).interface.relevance) == ["x"]


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("composite", ["epsilon", "lrp0", "gradient"])
def test_the_branch_that_was_taken(composite, taken):
    then = "h = MatMul (x, W) p = Relu (h) q = MatMul (p, V) y = Add (q, x)"
    written = then if taken else "h = MatMul (x, W) y = Sub (x, h)"
    x = rows()
    ours = relevance(model(BRANCH), {"x": x, "c": np.array(taken)}, composite)
    theirs = relevance(model(f"main (double[N, 3] x) => (double[N, 3] y) {{ {written} }}"), {"x": x}, composite)
    np.testing.assert_allclose(ours["x_relevance"], theirs["x_relevance"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "feeds"),
    [
        (LOOP, {"n": np.int64(4)}),
        (SCAN, {"s": np.random.default_rng(3).normal(size=(3, 2, 3))}),
        (BRANCH, {"c": np.array(True)}),
        (BRANCH, {"c": np.array(False)}),
    ],
    ids=["loop", "scan", "then", "else"],
)
@pytest.mark.parametrize("composite", ["epsilon", "epsilon_plus", "lrp0"])
def test_the_ledger_closes(text, feeds, composite):
    explained = onnxlrp.convert(model(text), composite, target="weights", ledger=True)
    found = reference(explained.to_proto())({"x": rows(), **feeds})
    ledger = found["relevance_ledger"]
    np.testing.assert_allclose(ledger[:, 0], ledger[:, 1:].sum(1), rtol=1e-6, atol=1e-9)
    total = sum(found[name].sum() for name in found if name.endswith("_relevance"))
    assert np.isclose(found["y"].sum(), total + ledger[:, 2:].sum(), rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "feeds"),
    [(LOOP, {"n": np.int64(3)}), (SCAN, {"s": np.ones((3, 2, 3))}), (BRANCH, {"c": np.array(True)})],
    ids=["loop", "scan", "branch"],
)
def test_several_targets_share_the_forward_pass(text, feeds):
    explained = onnxlrp.convert(model(text), "epsilon", targets=2)
    given = {"x": rows(), **feeds}
    many = reference(explained.to_proto())({**given, "target": np.array([[0, 2]])})["x_relevance"]
    one = reference(onnxlrp.convert(model(text), "epsilon").to_proto())
    for k, target in enumerate((0, 2)):
        alone = one({**given, "target": np.array([target])})["x_relevance"]
        np.testing.assert_allclose(many[:, k], alone, rtol=1e-9)


@pytest.mark.parametrize("precision", ["float32", "model"])
def test_half_precision(precision):
    """Carried values in halves, relevance in singles or in halves."""
    for text, feeds in ((LOOP, {"n": np.array(3)}), (SCAN, {"s": np.ones((3, 2, 3))}), (BRANCH, {"c": np.array(True)})):
        exact = relevance(model(text), {"x": rows(), **feeds}, "epsilon")["x_relevance"]
        half = model(text.replace("double", "float16"), W=W.astype(np.float16), V=V.astype(np.float16))
        explained = onnxlrp.convert(half, "epsilon", target="weights", precision=precision).to_proto()
        narrow = {k: v.astype(np.float16) if v.dtype == np.float64 else v for k, v in {"x": rows(), **feeds}.items()}
        found = onnxruntime(explained)(narrow)["x_relevance"]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, exact, atol=1e-2 * np.abs(exact).max())


def test_onnxruntime_runs_all_of_them_in_single_precision():
    for text, feeds in ((LOOP, {"n": np.int64(3)}), (SCAN, {"s": np.ones((3, 2, 3))}), (BRANCH, {"c": np.array(True)})):
        exact = relevance(model(text), {"x": rows(), **feeds}, "epsilon")
        single = model(text.replace("double", "float"), W=W.astype(np.float32), V=V.astype(np.float32))
        explained = onnxlrp.convert(single, "epsilon", target="weights").to_proto()
        narrow = {k: v.astype(np.float32) if v.dtype == np.float64 else v for k, v in {"x": rows(), **feeds}.items()}
        found = onnxruntime(explained)(narrow)
        np.testing.assert_allclose(found["x_relevance"], exact["x_relevance"], rtol=1e-3, atol=1e-4)


def test_what_has_no_rule_inside_a_body_is_named():
    text = LOOP.replace("r = Relu (z)", "r = my.own.Thing (z)").replace('"" : 21', '"" : 21, "my.own" : 1')
    made = parser.parse_model(HEAD.replace('"" : 21', '"" : 21, "my.own" : 1') + text)
    made.graph.initializer.append(onnx.numpy_helper.from_array(W, "W"))
    with pytest.raises(UnsupportedOperatorError, match=r"my\.own::Thing"):
        onnxlrp.convert(made, "epsilon", target="weights")


def test_the_plan_lists_what_is_inside():
    plan = onnxlrp.inspect(model(LOOP), "epsilon")
    assert [row.operator for row in plan.rows()] == ["Loop", "Add", "Relu", "MatMul"]


LISTS = {
    "concatenated": "y = ConcatFromSequence <axis: int = 1> (s)",
    "concatenated first": "y = ConcatFromSequence <axis: int = 0> (s)",
    "stacked": "y = ConcatFromSequence <axis: int = -2, new_axis: int = 1> (s)",
    "one of it": "k = Constant <value: tensor = int64 {-1}> () y = SequenceAt (s, k)",
    "its length": """l = SequenceLength (s) f = Cast <to: int = 11> (l) k = Constant <value: tensor = int64 {0}> ()
        e = SequenceAt (s, k) y = Mul (e, f)""",
}


@pytest.mark.parametrize("composite", ["epsilon", "gradient"])
@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_a_loop_appends_to(name, composite):
    """As torch scripts write it: `outputs.append(h)`, and what is read of the list afterwards."""
    text = f"""main (double[2, 3] x, int64 n) => (double[] y) {{
        yes = Constant <value: tensor = bool {{1}}> () none = SequenceEmpty <dtype: int = 11> ()
        h, s = Loop (n, yes, x, none) <body: graph = step (int64 i, bool going, double[2, 3] a, seq(double[2, 3]) t)
            => (bool on, double[2, 3] out, seq(double[2, 3]) longer) {{
            on = Identity (going)
            z = MatMul (a, W)
            out = Relu (z)
            both = Add (out, x)
            longer = SequenceInsert (t, both)
        }}>
        {LISTS[name]}
    }}"""
    source = model(text)
    source.graph.output[0].type.tensor_type.ClearField("shape")
    lines, h = [], "x"
    for k in range(3):
        lines.append(f"z{k} = MatMul ({h}, W) h{k} = Relu (z{k}) b{k} = Add (h{k}, x)")
        h = f"h{k}"
    lines.append(f"s = SequenceConstruct (b0, b1, b2) {LISTS[name]}")
    plain = model(f"main (double[2, 3] x) => (double[] y) {{ {' '.join(lines)} }}")
    plain.graph.output[0].type.tensor_type.ClearField("shape")
    x = rows()
    ours = relevance(source, {"x": x, "n": np.int64(3)}, composite)
    theirs = relevance(plain, {"x": x}, composite)
    np.testing.assert_allclose(ours["x_relevance"], theirs["x_relevance"], rtol=1e-8, atol=1e-12)
