"""Results of loops, scans and branches that nothing reads go, and what is needed from step to step stays."""

from __future__ import annotations

import onnx.parser
import onnx_ir as ir

from onnxlrp.finish.unread_results import drop_unread_results


def dropped(text: str) -> ir.Node:
    """The first node of a graph after the pass."""
    model = ir.serde.deserialize_model(onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> {text}'))
    drop_unread_results(model.graph)
    onnx.checker.check_model(ir.serde.serialize_model(model), full_check=True)
    return model.graph[0]


def test_a_state_that_another_needs_stays():
    """The second state is not read, but the first is computed from it."""
    node = dropped("""net (float[2] x) => (float[2] a) <int64 n = {2}, bool yes = {1}> {
        a, b, s, t = Loop (n, yes, x, x) <body = body (int64 i, bool c, float[2] h, float[2] g)
            => (bool d, float[2] k, float[2] l, float[2] s1, float[2] t1) {
            d = Identity (c)
            k = Add (h, g)
            l = Mul (g, g)
            s1 = Exp (k)
            t1 = Neg (s1)
        }>
    }""")
    assert [v.name for v in node.outputs] == ["a", "b"]
    assert [n.op_type for n in node.attributes["body"].as_graph()] == ["Identity", "Add", "Mul"]


def test_a_state_of_its_own_goes_with_its_operand():
    node = dropped("""net (float[2] x, float[2] z) => (float[2] a) <int64 n = {2}, bool yes = {1}> {
        a, b = Loop (n, yes, x, z) <body = body (int64 i, bool c, float[2] h, float[2] g)
            => (bool d, float[2] k, float[2] l) {
            d = Identity (c)
            k = Exp (h)
            l = Add (g, k)
        }>
    }""")
    assert [v.name for v in node.outputs] == ["a"] and len(node.inputs) == 3
    assert len(node.attributes["body"].as_graph().inputs) == 3


def test_a_condition_keeps_its_state():
    """The loop ends by a state that nothing reads."""
    node = dropped("""net (float[2] x, float z) => (float[2] a) <int64 n = {2}, bool yes = {1}> {
        a, b = Loop (n, yes, x, z) <body = body (int64 i, bool c, float[2] h, float g)
            => (bool d, float[2] k, float l) {
            k = Exp (h)
            l = Add (g, g)
            d = Less (l, z)
        }>
    }""")
    assert len(node.outputs) == 2


def test_a_scan_keeps_the_axes_of_what_is_left():
    node = dropped("""net (float[3, 2] x, float[2] s) => (float[2, 3] b) {
        e, a, b = Scan <num_scan_inputs = 1, scan_output_axes = [0, 1], body = body (float[2] h, float[2] u)
            => (float[2] g, float[2] v, float[2] w) {
            g = Add (h, u)
            v = Exp (g)
            w = Neg (u)
        }> (s, x)
    }""")
    assert [v.name for v in node.outputs] == ["b"]
    assert list(node.attributes["scan_output_axes"].as_ints()) == [1]
    assert len(node.inputs) == 1


def test_branches_and_nodes_inside():
    """A result goes from both branches, and from the loop inside that it is made from."""
    node = dropped("""net (float[2] x, bool c) => (float[2] a) <int64 n = {2}, bool yes = {1}> {
        a, b = If (c) <then_branch = t () => (float[2] p, float[2, 2] q) {
            p, q = Loop (n, yes, x) <body = body (int64 i, bool u, float[2] h) => (bool d, float[2] k, float[2] l) {
                d = Identity (u)
                k = Exp (h)
                l = Neg (h)
            }>
        }, else_branch = e () => (float[2] r, float[2] v) {
            r = Neg (x)
            v = Exp (x)
        }>
    }""")
    (then, other) = (node.attributes[name].as_graph() for name in ("then_branch", "else_branch"))
    assert (len(node.outputs), len(then.outputs), len(other.outputs)) == (1, 1, 1)
    assert len(then[0].outputs) == 1 and len(list(other)) == 1
