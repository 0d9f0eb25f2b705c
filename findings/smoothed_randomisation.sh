#!/usr/bin/env bash
# EXPECTED: quantus's SmoothMPRT, the parameter randomisation test with noise, measures the explanations of its `explain_func`.
# SEEN: it calls quantus's own `explain` instead, whose default is the gradient: every `explain_func` gives the same scores, also one
#   that looks at no network. MPRT, its neighbour, uses the function: a picture that is the same for every network scores 1.
# WHY: the sanity check passes for a method that fails it, and the argument is asked for.
# VERSIONS: quantus 0.6.0, captum 0.9.0, torch 2.13.0 (processor). Seen 2026-11-30.
# OUTPUT (mean rank correlation with the explanation of the trained network, over all randomised layers):
#   MPRT        gradient                mean similarity 0.115
#   MPRT        same_for_every_network  mean similarity 1.000
#   SmoothMPRT  gradient                mean similarity 0.100
#   SmoothMPRT  same_for_every_network  mean similarity 0.100
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
# On Linux this torch brings CUDA along; its build for processors will do, if PIP_EXTRA_INDEX_URL names an index that has it.
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 torch==2.13.0 captum==0.9.0 scipy==1.17.1 scikit-learn==1.9.1 \
  pandas==3.1.1 matplotlib==3.11.2 scikit-image==0.26.0 opencv-python-headless==5.0.0.93
"$room/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps quantus==0.6.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import numpy as np, quantus, torch

torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 3)).eval()
x, y = np.random.default_rng(0).normal(size=(4, 1, 8, 8)).astype(np.float32), np.array([0, 1, 2, 0])

def gradient(model, inputs, targets, **_):
    values = torch.as_tensor(inputs, dtype=torch.float32).requires_grad_()
    model(values)[range(len(targets)), targets].sum().backward()
    return values.grad.numpy()

def same_for_every_network(model, inputs, targets, **_):
    return np.arange(inputs.size, dtype=float).reshape(inputs.shape)

found = {}
for metric in (quantus.MPRT, quantus.SmoothMPRT):
    for explain in (gradient, same_for_every_network):
        np.random.seed(0)
        options = {"nr_samples": 2} if metric is quantus.SmoothMPRT else {}
        run = metric(similarity_func=quantus.similarity_func.correlation_spearman, disable_warnings=True, **options)
        scores = run(model=net, x_batch=x, y_batch=y, explain_func=explain, channel_first=True, device="cpu")
        found[metric.__name__, explain.__name__] = np.concatenate([np.ravel(s) for k, s in scores.items() if k != "original"])
        print(f"{metric.__name__:11} {explain.__name__:23} mean similarity {np.mean(found[metric.__name__, explain.__name__]):.3f}")
assert np.allclose(found["MPRT", "same_for_every_network"], 1)
assert not np.allclose(found["MPRT", "gradient"], found["MPRT", "same_for_every_network"])
assert np.array_equal(found["SmoothMPRT", "gradient"], found["SmoothMPRT", "same_for_every_network"])
PY
