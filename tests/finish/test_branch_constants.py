"""Constants of a branch: small ones are stored in it once, weights of convolutions are folded into it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from onnxlrp.finish.branch_constants import bring_constants
from onnxlrp.graph.names import Names


def constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    tensor = ir.tensor(array, name=name)
    value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape), const_value=tensor)
    graph.register_initializer(value)
    return value


def around(*nodes: ir.Node) -> tuple[ir.Graph, ir.Graph]:
    """A graph with an If whose only branch of interest holds some nodes, and that branch."""
    branch = ir.Graph([], nodes[-1].outputs, nodes=nodes, name="branch")
    for index, node in enumerate(nodes):
        node.name, node.outputs[0].name = f"n{index}", f"v{index}"
    main = ir.Graph([], [], nodes=[ir.node("If", [], attributes={"then_branch": branch}, name="if")], name="main")
    return main, branch


def test_equal_small_constants_become_one():
    holder = ir.Graph([], [], nodes=[], name="holder")
    x = ir.val("x", ir.DataType.INT64, [4])
    one, same, other = (constant(holder, name, np.array([n])) for name, n in (("a", 1), ("b", 1), ("c", 2)))
    nodes = [ir.node("Add", [x, value]) for value in (one, same, other)]
    main, branch = around(*nodes)
    bring_constants(branch, "then", "on demand", Names(main))
    read = [node.inputs[1] for node in branch]
    assert read[0] is read[1] is not read[2] and not {*read} & {one, same, other}
    assert [v.name for v in branch.initializers.values()] == ["a_then", "c_then"]


def test_texts_and_large_constants_stay():
    holder = ir.Graph([], [], nodes=[], name="holder")
    x = ir.val("x", ir.DataType.FLOAT, [4])
    large = constant(holder, "w", np.ones((20, 20), np.float32))
    main, branch = around(ir.node("MatMul", [x, large]))
    bring_constants(branch, "then", "on demand", Names(main))
    assert branch[0].inputs[1] is large and not branch.initializers


def test_weights_of_convolutions_are_folded_in():
    holder = ir.Graph([], [], nodes=[], name="holder")
    x = ir.val("x", ir.DataType.FLOAT, [1, 8, 4, 4])
    weight, bias = constant(holder, "w", np.ones((400, 8, 1, 1), np.float32)), constant(holder, "b", np.ones(400, "f"))
    main, branch = around(ir.node("Conv", [x, weight, bias]), ir.node("Conv", [x, weight]))
    bring_constants(branch, "then", "on demand", Names(main))
    kinds = [node.op_type for node in branch]
    assert kinds == ["Concat", "Concat", "Conv", "Conv"]
    assert branch[2].inputs[1] is branch[3].inputs[1] is branch[0].outputs[0]


def test_the_bias_of_a_quantised_convolution_stays():
    """Sessions round it to integers only where it is the graph's own constant, not a folded one."""
    holder = ir.Graph([], [], nodes=[], name="holder")
    x, whole = ir.val("x", ir.DataType.FLOAT, [1, 8, 4, 4]), ir.val("q", ir.DataType.INT8, [400, 8, 1, 1])
    scale, bias = ir.val("s", ir.DataType.FLOAT, []), constant(holder, "b", np.ones(400, "f"))
    weight = ir.node("DequantizeLinear", [whole, scale])
    weight.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    main, branch = around(weight, ir.node("Conv", [x, weight.outputs[0], bias]))
    bring_constants(branch, "then", "on demand", Names(main))
    assert [node.op_type for node in branch] == ["DequantizeLinear", "Conv"] and branch[1].inputs[2] is bias
