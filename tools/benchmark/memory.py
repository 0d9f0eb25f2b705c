"""Peak memory of loading and running a model, in a process of its own.

    python -m tools.benchmark.memory MODEL.onnx INPUT.npy cpu 2

prints JSON, in bytes above those of the process before: `peak` of everything, including the creation of the session
(which reads and folds weights), and `run`, the peak from the first run on (remaining weights, and activations).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from tools.benchmark import sessions

ROOT = Path(__file__).parents[2]
RUNS = 3


def measure(path: Path, x: np.ndarray, folder: Path, provider: str, threads: int) -> dict[str, int]:
    """Measure in a fresh process, which inherits nothing of this one's memory."""
    given = folder / "input.npy"
    np.save(given, x)
    command = [sys.executable, "-m", __name__, path, given, provider, threads]
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{path.name}: {done.stderr[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main(path: str, given: str, provider: str, threads: str) -> None:
    x = np.load(given)
    used, top = (_on_gpu, _on_gpu) if provider == "cuda" else (resident, peak)
    before = used()
    session = sessions.create(Path(path), provider, int(threads))
    created = top()
    forget_peak()
    for _ in range(RUNS):
        sessions.plain(session, sessions.feed(session, x))()
    run = top()
    print(json.dumps({"peak": max(created, run) - before, "run": run - before}))


def resident() -> int:
    """Measure the bytes of memory that this process has now."""
    return _status("VmRSS")


def peak() -> int:
    """Peak of this process; getrusage would include that of the process that started this one."""
    return _status("VmHWM")


def _status(key: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # not on Linux: only the peak is known, and it cannot be reset
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key))


def forget_peak() -> None:
    """Reset Linux's count of the peak."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def trim() -> None:
    """Give memory that is free, but held by the C library, back to the system, where that library is glibc."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _on_gpu() -> int:
    """Bytes in use on the GPU, by all processes; onnxruntime's arena returns none, so that this is also the peak."""
    import torch

    free, total = torch.cuda.mem_get_info()
    return total - free


if __name__ == "__main__":
    main(*sys.argv[1:])
