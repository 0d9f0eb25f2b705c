#!/usr/bin/env bash
# EXPECTED: DeepLift explains each sample of a batch by itself, and its relevance adds up to the change of the score from the
#   baseline, as its documentation says of the method; nn.Softmax is on its list of supported modules.
# SEEN: through an nn.Softmax inside of a network, a sample's relevance changes with the other samples of the batch, and does not
#   add up. Downstream of a ReLU, an nn.MaxPool2d does not add up either, unless the baseline is 0.
# WHY: one picture explained alone and in a batch gives two heatmaps. From the rescaled gradient of a softmax captum takes the mean
#   over all elements of the batch, not of the sample; what falls below the baseline's maximum gets lost at a pool.
# VERSIONS: captum 0.9.0, torch 2.13.0 (processor), numpy 2.4.6. Seen 2026-11-30.
# OUTPUT (largest difference from the change of the score; largest change of a sample's relevance when it is explained alone):
#   softmax:             6.2e-02, 3.2e-02
#   max pool of a ReLU:  1.0e-02, 0.0e+00
#   sigmoid:             7.6e-17, 6.9e-18
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
# On Linux this torch brings CUDA along; its build for processors will do, if PIP_EXTRA_INDEX_URL names an index that has it.
"$room/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 torch==2.13.0 captum==0.9.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import torch
from captum.attr import DeepLift

torch.set_default_dtype(torch.float64)
torch.manual_seed(0)
nn = torch.nn

def gaps(net, x, baseline):
    """How far relevance is from adding up, and how far a sample's moves when it is explained alone."""
    before = torch.full_like(x, baseline)
    found = DeepLift(net).attribute(x, before, 1)
    alone = DeepLift(net).attribute(x[:1], before[:1], 1)
    change = (net(x) - net(before))[:, 1]
    return (found.flatten(1).sum(1) - change).abs().max().item(), (alone - found[:1]).abs().max().item()

x = torch.randn(4, 1, 8, 8)
nets = {
    "softmax": nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Softmax(1), nn.Linear(5, 3)),
    "max pool of a ReLU": nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3)),
    "sigmoid": nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.Sigmoid(), nn.Linear(5, 3)),
}
seen = {name: gaps(net, x, 0.3) for name, net in nets.items()}
for name, (sums, moves) in seen.items():
    print(f"{name + ':':20s} {sums:.1e}, {moves:.1e}")
assert seen["softmax"][0] > 1e-3 and seen["softmax"][1] > 1e-3 and seen["max pool of a ReLU"][0] > 1e-3
assert max(seen["sigmoid"]) < 1e-12 and seen["max pool of a ReLU"][1] < 1e-12, "the control has changed"
PY
