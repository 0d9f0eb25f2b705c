#!/usr/bin/env bash
# EXPECTED: the file of a OneVsRestClassifier gives the labels of predict(), whichever classifier it wraps.
# SEEN: not around classifiers that have margins and no probabilities. Around SVC and NuSVC the file scores a class with the
#   margin of *not* being it: nearly every label is wrong. Around LinearSVC, with two classes, the file answers the second
#   class where the margin is above 0.5, not above 0. Around LogisticRegression, and with OneVsOneClassifier around SVC, all
#   is right.
# WHY: conversion and loading pass without a word; with two classes the scores look like probabilities that sum to 1.
# VERSIONS: scikit-learn 1.8.0, skl2onnx 1.20.0, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (accuracy of predict(), of the file's label, of 200 rows):
#   OneVsRestClassifier(SVC), 2 classes: 0.99, 0.04
#   OneVsRestClassifier(SVC), 3 classes: 0.93, 0.00
#   OneVsRestClassifier(NuSVC), 2 classes: 0.99, 0.00
#   OneVsRestClassifier(NuSVC), 3 classes: 0.97, 0.00
#   OneVsRestClassifier(LinearSVC), 2 classes: 0.99, 0.97
#   OneVsRestClassifier(LinearSVC), 3 classes: 0.81, 0.81
#   OneVsRestClassifier(LogisticRegression), 2 classes: 0.99, 0.99
#   OneVsOneClassifier(SVC), 3 classes: 0.94, 0.94
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scikit-learn==1.8.0 skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.svm import SVC, LinearSVC, NuSVC

onnxruntime.set_default_logger_severity(4)
rng = np.random.default_rng(0)
X = rng.normal(size=(200, 4)).astype("f4")
y = {2: (X[:, 0] > 0).astype(int), 3: (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)}

def accuracies(wrapper, estimator, classes):
    model = wrapper(estimator).fit(X, y[classes])
    file = to_onnx(model, X[:1], options={"zipmap": False}).SerializeToString()
    label = onnxruntime.InferenceSession(file).run(["label"], {"X": X})[0].ravel()
    right = (model.predict(X) == y[classes]).mean(), (label == y[classes]).mean()
    print(f"{wrapper.__name__}({type(estimator).__name__}), {classes} classes: {right[0]:.2f}, {right[1]:.2f}")
    return right

for estimator in (SVC(), NuSVC(nu=0.2)):
    for classes in (2, 3):
        ours, theirs = accuracies(OneVsRestClassifier, estimator, classes)
        assert ours > 0.85 and theirs < 0.15
ours, theirs = accuracies(OneVsRestClassifier, LinearSVC(), 2)
assert 0.02 < ours - theirs < 0.2
for wrapper, estimator, classes in (
    (OneVsRestClassifier, LinearSVC(), 3), (OneVsRestClassifier, LogisticRegression(), 2), (OneVsOneClassifier, SVC(), 3)
):
    ours, theirs = accuracies(wrapper, estimator, classes)
    assert ours == theirs, "the control has changed"
PY
