#!/usr/bin/env bash
# EXPECTED: the file of scikit-learn's Normalizer(norm="max") divides a row by its largest absolute value, as the class does.
# SEEN: the file's operator Normalizer in onnxruntime divides by the largest *signed* value: rows of negative numbers change
#   their sign, and [-4, 2] becomes [-2, 1]. "l1" and "l2" take absolute values there. onnx's reference evaluator takes the
#   absolute value for all three. The standard's text says max(X), and no word of a sign.
# WHY: on counts and intensities, which are not negative, all agree; standardised or centred data turn round.
# VERSIONS: scikit-learn 1.8.0, skl2onnx 1.20.0, onnx 1.23.2, onnxruntime 1.32.0 (processor). Seen 2026-11-30.
# OUTPUT (of [-4, 2], [-4, -2] and [4, 2]: scikit-learn / onnxruntime / reference evaluator):
#   max: [[-1.0, 0.5], [-1.0, -0.5], [1.0, 0.5]] / [[-2.0, 1.0], [2.0, 1.0], [1.0, 0.5]] / [[-1.0, 0.5], [-1.0, -0.5], [1.0, 0.5]]
#   l1: [[-0.67, 0.33], [-0.67, -0.33], [0.67, 0.33]] / [[-0.67, 0.33], [-0.67, -0.33], [0.67, 0.33]] / [[-0.67, 0.33], [-0.67, -0.33], [0.67, 0.33]]
#   l2: [[-0.89, 0.45], [-0.89, -0.45], [0.89, 0.45]] / [[-0.89, 0.45], [-0.89, -0.45], [0.89, 0.45]] / [[-0.89, 0.45], [-0.89, -0.45], [0.89, 0.45]]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scikit-learn==1.8.0 skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from onnx.reference import ReferenceEvaluator
from skl2onnx import to_onnx
from sklearn.preprocessing import Normalizer

rows = np.float32([[-4, 2], [-4, -2], [4, 2]])

def answers(norm):
    model = Normalizer(norm=norm).fit(rows)
    file = to_onnx(model, rows[:1])
    ours, oracle = model.transform(rows), ReferenceEvaluator(file).run(None, {"X": rows})[0]
    theirs = onnxruntime.InferenceSession(file.SerializeToString()).run(None, {"X": rows})[0]
    print(f"{norm}:", " / ".join(str(v.round(2).astype(float).round(2).tolist()) for v in (ours, theirs, oracle)))
    assert np.allclose(ours, oracle)
    return ours, theirs

ours, theirs = answers("max")
assert np.allclose(theirs, [[-2, 1], [2, 1], [1, 0.5]])
for norm in ("l1", "l2"):
    ours, theirs = answers(norm)
    assert np.allclose(ours, theirs), "the control has changed"
PY
