#!/usr/bin/env bash
# EXPECTED: CondAttribution(..., record_layer=[L]) with a condition on L records the relevance that passes L, and the map is
#   what that relevance becomes at the input (no bias, ε near 0: both have one sum).
# SEEN: what is recorded at L is twice that, with the default exclude_parallel=True. The map is right, and so are layers
#   without a condition; exclude_parallel=False records the single amount.
# WHY: by default the backward pass is run in two parts that meet at L, and the gradient that L retains adds up over both.
# VERSIONS: zennit-crp 0.6.0, zennit 1.0.0, torch 2.13.0. Seen 2026-11-30.
# OUTPUT (sum of the relevance recorded at the second layer, over the sum of the map):
#   no condition                           1.000006
#   condition on it, default               2.000011
#   condition on it, exclude_parallel=False 1.000006
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
pip() { "$room/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip torch==2.13.0 torchvision==0.28.0 numpy==2.4.6 pillow tqdm matplotlib
pip --no-deps --ignore-requires-python zennit==1.0.0 zennit-crp==0.6.0 click
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import sys, types
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("m"))
import torch
from crp.attribution import CondAttribution
from zennit.composites import EpsilonPlus

torch.manual_seed(0)
model = torch.nn.Sequential(
    torch.nn.Linear(4, 6, bias=False), torch.nn.ReLU(), torch.nn.Linear(6, 5, bias=False), torch.nn.ReLU(),
    torch.nn.Linear(5, 3, bias=False),
).double()
x = torch.rand(1, 4, dtype=torch.float64)

def look(name, condition, **options):
    data = x.clone().requires_grad_()
    found = CondAttribution(model)(data, [{"y": [1], **condition}], EpsilonPlus(), record_layer=["2"], **options)
    ratio = (found.relevances["2"].sum() / data.grad.sum()).item()
    print(f"{name:38s} {ratio:.6f}")
    return round(ratio, 3)

assert look("no condition", {}) == 1
assert look("condition on it, default", {"2": [0, 1, 2, 3, 4]}) == 2
assert look("condition on it, exclude_parallel=False", {"2": [0, 1, 2, 3, 4]}, exclude_parallel=False) == 1
PY
