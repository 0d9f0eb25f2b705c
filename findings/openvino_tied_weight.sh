#!/usr/bin/env bash
# EXPECTED: x @ W @ transpose(W), with one stored W, is what any runtime computes (a tied autoencoder, tied embeddings, a
#   backward pass written into the graph).
# SEEN: OpenVINO's CPU plugin gives other numbers for a square W: both products are served from one packed copy of the
#   weight. No error. A W that is not square is right, and so is the same graph with a second copy that is stored transposed.
#   With a Relu between the products only some fixed batches are wrong (4, 6 and 8 here), so tests with batch 1 pass.
# WHY: precision is not the cause: the f32 hint is set and the error is as large as the answer.
# VERSIONS: openvino 2026.4.1, onnx 1.23.2; x86-64 with AVX-512 (another processor may choose other kernels). Seen 2026-11-30.
# OUTPUT (largest error over largest answer):
#   square, tied                 batch 1: 0.8  batch 2: 1  batch 4: 1  batch 6: 1  batch 8: 1  batch 16: 2
#   square, tied, Relu between   batch 1: 1e-07  batch 2: 0  batch 4: 0.7  batch 6: 1  batch 8: 0.8  batch 16: 7e-08
#   square, two copies           batch 1: 8e-08  batch 2: 0  batch 4: 1e-07  batch 6: 1e-07  batch 8: 1e-07  batch 16: 1e-07
#   not square, tied             batch 1: 7e-08  batch 2: 0  batch 4: 1e-07  batch 6: 2e-07  batch 8: 1e-07  batch 16: 2e-07
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 openvino==2026.4.1
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, openvino
from onnx import TensorProto as T, helper as h, numpy_helper as nh

rng = np.random.default_rng(0)

def error(batch, columns, tied, between):
    W, x = rng.normal(size=(16, columns)).astype("f4"), rng.normal(size=(batch, 16)).astype("f4")
    second = h.make_node("Gemm", ["b", "W"], ["y"], transB=1) if tied else h.make_node("Gemm", ["b", "copy"], ["y"])
    nodes = [h.make_node("Gemm", ["x", "W"], ["a"]), h.make_node(between, ["a"], ["b"]), second]
    weights = [nh.from_array(W, "W")] + ([] if tied else [nh.from_array(W.T.copy(), "copy")])
    values = [h.make_tensor_value_info(name, T.FLOAT, [batch, 16]) for name in "xy"]
    model = h.make_model(h.make_graph(nodes, "g", values[:1], values[1:], weights), opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    core = openvino.Core()
    run = core.compile_model(core.read_model(model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    inner = x @ W if between == "Identity" else np.maximum(x @ W, 0)
    return float(abs(run({"x": x})[0] - inner @ W.T).max() / abs(inner @ W.T).max())

def look(name, *case):
    errors = {batch: error(batch, *case) for batch in (1, 2, 4, 6, 8, 16)}
    print(f"{name:28s}", "  ".join(f"batch {b}: {e:.1g}" for b, e in errors.items()))
    return {b for b, e in errors.items() if e > 1e-4}

assert look("square, tied", 16, True, "Identity") == {1, 2, 4, 6, 8, 16}
assert look("square, tied, Relu between", 16, True, "Relu") == {4, 6, 8}
assert not look("square, two copies", 16, False, "Identity")
assert not look("not square, tied", 24, True, "Identity")
PY
