"""The packages of the runtimes: installed once into a folder, outside the environment that runs onnxlrp."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "requirements.txt"
PACKAGE_JSON = HERE / "package.json"


def install(folder: Path, pip: bool, npm: bool) -> None:
    """Install into `folder`/pip and `folder`/npm what is asked for and is not there yet at the pinned versions."""
    if pip and _differs(REQUIREMENTS, folder / "pip"):
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
        _run([*command, "--target", str(folder / "pip"), "-r", str(REQUIREMENTS)])
        shutil.copy(REQUIREMENTS, folder / "pip")
    if npm and _differs(PACKAGE_JSON, folder / "npm"):
        shutil.rmtree(folder / "npm", ignore_errors=True)
        (folder / "npm").mkdir(parents=True)
        shutil.copy(PACKAGE_JSON, folder / "npm")
        # The install scripts only fetch files for GPUs.
        options = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock"]
        _run(["npm", "install", *options, "--prefix", str(folder / "npm")])


def versions() -> dict[str, str]:
    """Read the pinned version of every package."""
    lines = REQUIREMENTS.read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line)
    return {**pinned, **json.loads(PACKAGE_JSON.read_text(encoding="utf-8"))["dependencies"]}


def _differs(file: Path, folder: Path) -> bool:
    there = folder / file.name
    return not there.exists() or there.read_bytes() != file.read_bytes()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command[:4])} … failed:\n{done.stderr[-2000:]}")
