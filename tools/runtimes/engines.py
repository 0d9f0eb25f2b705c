"""The runtimes: how each is started, the version that it has, and the kinds of file that it is spared."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.runtimes import in_browser
from tools.runtimes.packages import versions

ROOT = Path(__file__).parents[2]
JAVASCRIPT = Path(__file__).parent / "javascript"


@dataclasses.dataclass(frozen=True)
class Engine:
    """A runtime that jobs can be given to."""

    name: str
    title: str
    package: str
    """Package that holds it; "" for one that the environment has already."""
    command: Callable[[Path], list[str]]
    """From the folder of packages to the command, which gets the folder of jobs and two numbers."""
    npm: bool = False
    needs: str | None = None
    """Program or module without which it cannot run here; None if it needs none."""
    largest: float = float("inf")
    """Size in bytes of the largest file that it is given."""
    composites: tuple[str, ...] | None = None
    """Composites that it is given; None for all."""

    def version(self) -> str:
        """Name the version that is measured."""
        if self.package:
            return versions()[self.package]
        import onnx

        return onnx.__version__

    def start(self, packages: Path) -> Callable[[Path, int, int], subprocess.Popen[Any]]:
        """Return a function that begins a process for the jobs of a folder, from one number to another."""
        paths = [str(ROOT), str(packages / "pip")]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}

        def begin(folder: Path, first: int, count: int) -> subprocess.Popen[Any]:
            command = [*self.command(packages), str(folder), str(first), str(count)]
            with (folder / "output.txt").open("ab") as output:
                return subprocess.Popen(
                    command, env=environment, stdout=output, stderr=output, start_new_session=True, cwd=ROOT
                )

        return begin


def _python(name: str) -> Callable[[Path], list[str]]:
    return lambda packages: [sys.executable, "-m", "tools.runtimes.in_python", name]


def _node(which: str) -> Callable[[Path], list[str]]:
    return lambda packages: ["node", str(JAVASCRIPT / "in_node.mjs"), str(packages / "npm"), which]


def _browser(provider: str) -> Callable[[Path], list[str]]:
    return lambda packages: [sys.executable, "-m", "tools.runtimes.in_browser", str(packages / "npm"), provider]


ENGINES = (
    Engine("node", "onnxruntime-node", "onnxruntime-node", _node("node"), npm=True, needs="node"),
    Engine("web-node", "onnxruntime-web, wasm, Node.js", "onnxruntime-web", _node("web"), npm=True, needs="node"),
    Engine(
        *("web-wasm", "onnxruntime-web, wasm, Chromium", "onnxruntime-web", _browser("wasm")),
        npm=True,
        needs="chromium",
    ),
    Engine(
        *("web-webgpu", "onnxruntime-web, WebGPU, Chromium", "onnxruntime-web", _browser("webgpu")),
        npm=True,
        needs="chromium",
        # The adapter is a program: a small file takes seconds, EfficientNet minutes.
        largest=8e6,
        composites=("auto",),
    ),
    Engine("openvino", "OpenVINO, f32 hint", "openvino", _python("openvino")),
    Engine("opencv", "OpenCV dnn", "opencv-python-headless", _python("opencv")),
    Engine("tract", "tract", "tract", _python("tract")),
    Engine("onnx2torch", "onnx2torch", "onnx2torch", _python("onnx2torch"), needs="torch"),
    Engine("reference", "onnx.reference", "", _python("reference"), largest=2e6),
)


def missing(engine: Engine) -> str | None:
    """Say which program or module is not on this machine; None if all are."""
    if engine.needs == "torch":
        return None if importlib.util.find_spec("torch") else "torch"
    if engine.needs == "chromium":
        return None if in_browser.browser() else "Chromium"
    return engine.needs if engine.needs and not shutil.which(engine.needs) else None
