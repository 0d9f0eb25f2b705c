"""Conversion gives the same bytes for the same source and options, whatever the seed of Python's hashes.

Each seed has an interpreter of its own, which converts the bundled models and those of tests/test_threads.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import onnxlrp
from tests.test_threads import MODELS
from tools.robustness.models import LARGE, ROOT, SMALL, bundled
from tools.robustness.part import Found

_COMPOSITES = ("auto", "epsilon_plus_flat", "attn_lrp", "gradient")


def run(quick: bool, folder: Path) -> Found:
    """Compare the digests of all seeds with those of the first."""
    seeds = (0, 1) if quick else (0, 1, 4242)
    found = [_digests(seed, quick) for seed in seeds]
    faults = tuple(f"{name} differs" for name, digest in found[0].items() if any(f[name] != digest for f in found))
    result = f"{len(found[0]) - len(faults)} of {len(found[0])} equal under seeds {', '.join(map(str, seeds))}"
    return Found(f"{len(found[0])} conversions × {len(seeds)} seeds", result, faults)


def _digests(seed: int, quick: bool) -> dict[str, str]:
    """Compute the digests in another interpreter."""
    command = [sys.executable, "-m", __name__, *(["quick"] if quick else [])]
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"seed {seed}: {done.stderr[-800:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _own(quick: bool) -> Iterator[tuple[str, str]]:
    """Yield the digest of each explained model in this interpreter."""
    sources = {name: make() for name, make in MODELS.items()}
    if not quick:
        sources |= {name: bundled(name) for name in (*SMALL, LARGE)}
    for name, source in sources.items():
        for composite in _COMPOSITES[: 1 if quick else None]:
            proto = onnxlrp.convert(source, composite).to_proto()
            yield f"{name} {composite}", hashlib.sha256(proto.SerializeToString()).hexdigest()


if __name__ == "__main__":
    print(json.dumps(dict(_own("quick" in sys.argv))))
