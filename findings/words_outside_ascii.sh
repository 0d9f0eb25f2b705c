#!/usr/bin/env bash
# EXPECTED: the file of a CountVectorizer counts the words that scikit-learn counts.
# SEEN: to the file a word is made of the letters a to z, digits and the underline. Words with any other letter are not found
#   at all, though the vocabulary in the file has them; neighbours of two words across a word of one letter ("I am a dog" has
#   the pair "am dog" in scikit-learn) are lost, too, as the file counts single letters as words.
# WHY: text in other languages than English loses part of its features, with no error; English test sentences pass.
# VERSIONS: scikit-learn 1.8.0, skl2onnx 1.20.0, onnxruntime 1.32.0. Seen 2026-11-30.
# OUTPUT (what is found: scikit-learn / file):
#   der Bär frisst Äpfel: ['Bär', 'der', 'frisst', 'Äpfel'] / ['der', 'frisst']
#   I am a dog: ['am dog'] / []
#   the bear eats apples: ['apples', 'bear', 'eats', 'the'] / ['apples', 'bear', 'eats', 'the']
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scikit-learn==1.8.0 skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, onnxruntime
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import StringTensorType
from sklearn.feature_extraction.text import CountVectorizer

onnxruntime.set_default_logger_severity(4)

def found(sentence, **options):
    """Fit on one sentence; print and give what scikit-learn and its file find in it."""
    model = CountVectorizer(lowercase=False, **options).fit([sentence])
    file = convert_sklearn(model, initial_types=[("text", StringTensorType([None]))]).SerializeToString()
    theirs = onnxruntime.InferenceSession(file).run(None, {"text": np.array([sentence])})[0][0]
    words = model.get_feature_names_out()
    both = [words[counts > 0].tolist() for counts in (model.transform([sentence]).toarray()[0], theirs)]
    print(f"{sentence}: {both[0]} / {both[1]}")
    return both

ours, theirs = found("der Bär frisst Äpfel")
assert ours == ["Bär", "der", "frisst", "Äpfel"] and theirs == ["der", "frisst"]
ours, theirs = found("I am a dog", ngram_range=(2, 2))
assert ours == ["am dog"] and theirs == []
ours, theirs = found("the bear eats apples")
assert ours == theirs, "the control has changed"
PY
