#!/usr/bin/env bash
# EXPECTED: what safetensors saves is what it loads. An array in Fortran order is contiguous and dense, which is what save_file asks
#   for, and so is a conjugated tensor (torch says is_contiguous()).
# SEEN: both are written as the bytes that lie in memory. A matrix in Fortran order comes back with the right shape and its
#   elements in another order, and conj() of a complex tensor comes back unconjugated. 0.7.0 wrote the matrix rightly, and
#   safetensors.torch refuses a transposed one.
# WHY: a transposed weight, and much of what pandas and LAPACK give (eigenvectors, pseudo-inverses, factors of a regression), is in
#   Fortran order. Shapes, types and sums agree, so only a comparison of elements shows it. torch's own save() keeps both.
# VERSIONS: safetensors 0.8.0 and 0.7.0, numpy 2.4.6, torch 2.13.0. Seen 2026-11-30.
# OUTPUT:
#   saved [[0, 1, 2], [3, 4, 5]] in C order, loaded [[0, 1, 2], [3, 4, 5]] with safetensors 0.8.0
#   saved [[0, 1, 2], [3, 4, 5]] in F order, loaded [[0, 3, 1], [4, 2, 5]] with safetensors 0.8.0
#   saved [[0, 1, 2], [3, 4, 5]] in F order, loaded [[0, 1, 2], [3, 4, 5]] with safetensors 0.7.0
#   contiguous: True, saved [(1-2j), (3+1j)], loaded [(1+2j), (3-1j)]
#   resolved first: loaded [(1-2j), (3+1j)]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"${PYTHON:-python3}" -m venv "$room/venv"
pip() { "$room/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
pip numpy==2.4.6 safetensors==0.8.0 torch==2.13.0
pip --target "$room/older" --no-deps safetensors==0.7.0
cd "$room"
cat >order.py <<'PY'
import sys
import numpy as np, safetensors
from safetensors.numpy import load_file, save_file

matrix = np.arange(6).reshape(2, 3)
for order in "CF":
    array = np.array(matrix, order=order)
    assert array.flags.c_contiguous or array.flags.f_contiguous
    save_file({"a": array}, "a.safetensors")
    loaded = load_file("a.safetensors")["a"]
    print(f"saved {array.tolist()} in {order} order, loaded {loaded.tolist()} with safetensors {safetensors.__version__}")
    assert loaded.shape == array.shape
    kept = order == "C" or sys.argv[1] == "right"
    assert np.array_equal(loaded, array if kept else array.ravel(order="K").reshape(2, 3))
PY
"$room/venv/bin/python" order.py wrong
PYTHONPATH="$room/older" "$room/venv/bin/python" order.py right | tail -n 1
"$room/venv/bin/python" -W ignore - <<'PY'
import torch
from safetensors.torch import load, save

z = torch.tensor([1 + 2j, 3 - 1j]).conj()
assert z.is_contiguous()
loaded = load(save({"z": z}))["z"]
print(f"contiguous: {z.is_contiguous()}, saved {z.tolist()}, loaded {loaded.tolist()}")
assert torch.equal(loaded, z.conj()) and not torch.equal(loaded, z)
try:
    save({"m": torch.arange(6).reshape(2, 3).T})
except ValueError as error:
    assert "non contiguous" in str(error)
else:
    raise SystemExit("a transposed tensor is taken now")
resolved = load(save({"z": z.resolve_conj()}))["z"]
print(f"resolved first: loaded {resolved.tolist()}")
assert torch.equal(resolved, z)
PY
