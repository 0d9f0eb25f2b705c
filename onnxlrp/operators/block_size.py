"""Block size of onnxruntime's blocked layout: 8 or 16 channels, by the processor on which the model was optimised.

No file states it. Channels are padded to whole blocks, and the padding often shows in the file. Where it does not, both
sizes fit, and the size of the machine at hand decides, as it does for onnxruntime itself.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
import onnx_ir as ir

from onnxlrp.graph.call import content

SIZES = (8, 16)


def block_size(nodes: Sequence[ir.Node]) -> int | None:
    """Tell the block size from the blocked nodes of a graph, else from onnxruntime here; None if neither shows it."""
    possible = set(SIZES)
    for node in nodes:
        possible &= set(_possible(node))
    return possible.pop() if len(possible) == 1 else _at_hand() if possible else None


def _possible(node: ir.Node) -> Iterator[int]:
    for size in SIZES:
        if node.op_type != "Conv" or all(_fits(node, size)):
            yield size


def _fits(node: ir.Node, size: int) -> Iterator[bool]:
    """Yield what must hold of a Conv's weights if blocks have `size` channels.

    Output channels fill whole blocks, input channels do too or are fewer than one block, and no padding is needless.
    """
    weight, bias = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None
    if weight is None or weight.shape is None or not weight.shape.is_static():
        return
    out, into = weight.shape.numpy()[:2]
    yield out % size == 0
    yield into < size or into % size == 0
    numbers = content(bias)
    if size == 8 and out % 16 == 0 and numbers is not None and numbers.any() and not numbers[-8:].any():
        # The last eight channels have no bias. If, in blocks of 16, they have no weights either, they are padding.
        yield not _half_filled(content(weight))


def _half_filled(weight: np.ndarray | None) -> bool:
    """Decide whether only the first half of the last block of 16 has weights."""
    if weight is None:
        return False
    last = weight.reshape(weight.shape[0] // 16, -1, 16)[-1]
    return bool(last[:, :8].any() and not last[:, 8:].any())


@functools.cache
def _at_hand() -> int | None:
    """Measure the block size on this machine: the number of channels to which onnxruntime pads 4; None if unknown."""
    try:
        import onnxruntime
    except ImportError:
        return None
    domain, make = "com.microsoft.nchwc", onnx.helper
    node = make.make_node("ReorderInput", ["x"], ["y"], domain=domain, channels_last=0)
    x, y = (make.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in (("x", [1, 4, 1, 1]), ("y", None)))
    opsets = [make.make_opsetid("", 17), make.make_opsetid(domain, 1)]
    model = make.make_model(make.make_graph([node], "block", [x], [y]), opset_imports=opsets, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        size = session.run(None, {"x": np.zeros([1, 4, 1, 1], np.float32)})[0].shape[1]
    except Exception:  # onnxruntime has no blocked layout for this processor
        return None
    return size if size in SIZES else None
