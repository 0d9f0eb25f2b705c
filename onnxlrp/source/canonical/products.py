"""Products written one way.

`Gemm: α·A'B' + β·C = A'(αB') + (βC)`; with a transposed data operand `Aᵀ` becomes a Transpose of its own.
`MatMul` of a vector: a matrix of one row or column, squeezed afterwards.
"""

from __future__ import annotations

import onnx_ir as ir

from onnxlrp.graph.misses import attempt, holds
from onnxlrp.source.canonical.common import Rewriter


def rewrite(rewriter: Rewriter) -> None:
    """Gemm without factors and without transposed data; MatMul of matrices only."""
    for node in rewriter.nodes("Gemm"):
        attempt("stays as it is", node, _gemm, rewriter, node)
    for node in rewriter.nodes("MatMul"):
        attempt("stays as it is", node, _matmul, rewriter, node)


def _gemm(rewriter: Rewriter, node: ir.Node) -> bool:
    op, operands = rewriter.op, tuple(node.inputs)
    for name, operand in (("alpha", 1), ("beta", 2)):
        attribute = node.attributes.pop(name, None)
        factor = 1.0 if attribute is None else float(attribute.value)
        value = node.inputs[operand] if operand < len(node.inputs) else None
        if factor == 1.0 or value is None:
            continue
        scaled = op.Mul(value, factor)
        if rewriter.is_constant(value):
            rewriter.made(scaled)
        node.replace_input_with(operand, scaled)
    for name, operand in (("transA", 0), ("transB", 1)):
        value = node.inputs[operand]
        attribute = node.attributes.get(name)
        if value is None or attribute is None or not attribute.value or rewriter.is_constant(value):
            continue
        del node.attributes[name]
        node.replace_input_with(operand, op.Transpose(value, perm=[1, 0]))
    return holds(operands != tuple(node.inputs), "it has no factors, and data that is not transposed")


def _matmul(rewriter: Rewriter, node: ir.Node) -> bool:
    op = rewriter.op
    ranks = [len(v.shape) if v is not None and v.shape is not None else 2 for v in node.inputs]
    if not holds(1 in ranks, "neither operand is a vector"):
        return False
    if not holds(not rewriter.is_constant(node.outputs[0]), "it depends on no input"):
        return False
    axes = []
    for operand, (rank, at, gone) in enumerate(zip(ranks, (0, 1), (-2, -1), strict=True)):
        value = node.inputs[operand]
        if rank != 1 or value is None:
            continue
        matrix = op.Unsqueeze(value, op.ints([at]))
        if rewriter.is_constant(value):
            rewriter.made(matrix)
        node.replace_input_with(operand, matrix)
        axes.append(gone)
    old = node.outputs[0]
    full = op.MatMul(*node.inputs)
    rewriter.replace(old, op.Squeeze(full, op.ints(sorted(axes))), node.name or "MatMul")
    return True
