#!/usr/bin/env bash
# EXPECTED: onnx.inliner.inline_local_functions writes functions out and keeps what the model computes.
# SEEN: it forgets the default values of a function's attributes (`attribute_proto`). A call that relies on the default gets
#   that of the operator inside: a slope of 0.3 becomes LeakyRelu's own 0.01. If a call names the value, all is right.
# WHY: exporters write functions with defaults, tools inline them before anything else, and no step warns.
# VERSIONS: onnx 1.23.2, onnxruntime 1.32.0 (processor); 1.31.1 likewise. Seen 2026-11-30.
# OUTPUT (of x = -10: the model / its inlined form):
#   slope left to the default: -3.00 / -0.10
#   slope named in the call: -3.00 / -3.00
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from onnx import AttributeProto, TensorProto as T, checker, helper as h, inliner

onnxruntime.set_default_logger_severity(3)
leaky = h.make_node("LeakyRelu", ["a"], ["b"])
leaky.attribute.append(AttributeProto(name="alpha", ref_attr_name="slope", type=AttributeProto.FLOAT))
function = h.make_function(
    "mine", "Leaky", ["a"], ["b"], [leaky], [h.make_opsetid("", 21)], attribute_protos=[h.make_attribute("slope", 0.3)])

def answers(**attributes):
    values = [h.make_tensor_value_info(name, T.FLOAT, [1]) for name in "xy"]
    graph = h.make_graph([h.make_node("Leaky", ["x"], ["y"], domain="mine", **attributes)], "g", values[:1], values[1:])
    imports = [h.make_opsetid("", 21), h.make_opsetid("mine", 1)]
    model = h.make_model(graph, functions=[function], opset_imports=imports, ir_version=10)
    inlined = inliner.inline_local_functions(model)
    for m in (model, inlined):
        checker.check_model(m, full_check=True)
    y = [onnxruntime.InferenceSession(m.SerializeToString()).run(None, {"x": np.float32([-10])})[0].item() for m in (model, inlined)]
    print(f"{'slope named in the call' if attributes else 'slope left to the default'}: {y[0]:.2f} / {y[1]:.2f}")
    return y

assert np.allclose(answers(), [-3, -0.1])
assert np.allclose(answers(slope=0.3), [-3, -3])
PY
