#!/usr/bin/env bash
# EXPECTED: the relevance of LRP adds up to the score in a network without biases: that is what the method promises, and what
#   captum's LRP gives for a chain of layers. DeepLift adds up to the difference from the baseline.
# SEEN: where two branches meet outside of a module, LRP is wrong without a word. At x + f(x) each branch gets all of the relevance,
#   and what reaches the input past f is not what the layer downstream gave it; the sum has another size and sign. DeepLift gives
#   both factors of a product all of it, which is twice the difference. return_convergence_delta shows both, and is off by default.
# WHY: residual blocks add, and gates (GLU, squeeze-and-excitation, attention) multiply, nearly always in forward() and not in a
#   module. An unknown *module* raises an error; an unknown operator is passed over.
# VERSIONS: captum 0.9.0, torch 2.13.0. Seen 2026-11-30.
# OUTPUT (sum of the attribution over what it has to add up to, for five samples):
#   LRP, chain             [1.0, 1.0, 1.0, 1.0, 1.0]
#   DeepLift, chain        [1.0, 1.0, 1.0, 1.0, 1.0]
#   LRP, x + f(x)          [-2.086, 2.418, 2.048, 1.242, 2.096]
#   DeepLift, x + f(x)     [1.0, 1.0, 1.0, 1.0, 1.0]
#   DeepLift, x * f(x)     [2.0, 2.0, 2.0, 2.0, 2.0]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 captum==0.9.0
cd "$room"
"$room/venv/bin/python" -W ignore - <<'PY'
import torch
from captum.attr import LRP, DeepLift

torch.manual_seed(0)
x = torch.randn(5, 6, dtype=torch.float64)
target = torch.tensor([0, 1, 2, 0, 1])


class Network(torch.nn.Module):
    def __init__(self, join):
        super().__init__()
        self.first = torch.nn.Linear(6, 6, bias=False)
        self.relu = torch.nn.ReLU()
        self.last = torch.nn.Linear(6, 3, bias=False)
        self.join = join

    def forward(self, x):
        return self.last(self.join(x, self.relu(self.first(x))))


def look(name, method, join):
    network = Network(join).double()
    parts = method(network).attribute(x, target=target).detach()
    shares = parts.sum(1) / network(x)[range(5), target].detach()
    print(f"{name:22s} {[round(share, 3) + 0.0 for share in shares.tolist()]}")
    return shares


one = torch.ones(5, dtype=torch.float64)
for method in (LRP, DeepLift):
    assert torch.allclose(look(f"{method.__name__}, chain", method, lambda x, f: f), one)
shares = look("LRP, x + f(x)", LRP, lambda x, f: x + f)
assert (shares - 1).abs().max() > 0.5
assert torch.allclose(look("DeepLift, x + f(x)", DeepLift, lambda x, f: x + f), one)
assert torch.allclose(look("DeepLift, x * f(x)", DeepLift, lambda x, f: x * f), 2 * one)
PY
