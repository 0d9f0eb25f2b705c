"""Description of the machine and software of a measurement: processor and versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

import onnxlrp

ROOT = Path(__file__).parents[2]
PEERS = ("torch", "torchvision", "transformers", "zennit", "captum", "lxt")


def describe(provider: str) -> dict[str, str]:
    """Describe the processor and the versions."""
    found = {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "python": platform.python_version(),
        "onnxlrp": f"{onnxlrp.__version__} {_commit()}".strip(),
        "onnx": onnx.__version__,
        "onnxruntime": ort.__version__,
        "numpy": np.__version__,
        **{name: version for name in PEERS if (version := _version(name))},
    }
    if provider == "cuda":
        import torch

        found |= {"gpu": torch.cuda.get_device_name(0), "cuda": str(torch.version.cuda)}
    return found


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"model name\s*:\s*(.+)", text)
    return found.group(1).strip() if found else platform.machine()


def _commit() -> str:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
