"""Training apart from explaining: `python -m tools.literature.apart NAME FOLDER` is the child with the frameworks."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

from tools.literature.package_files import MissingData

FRAMEWORKS = ("torch", "sklearn", "captum", "shap", "lime", "imblearn", "pandas")
"""Packages that explaining must not import."""
_MISSING = 3


def trained(name: str, folder: Path, *, short: bool) -> None:
    """Train an example in a process of its own, which writes ONNX files and arrays into the folder.

    Raises MissingData if a package that holds the data is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "-W", "ignore", "-m", "tools.literature.apart", name, str(folder), *["short"] * short]
    done = subprocess.run(words, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    if done.returncode == _MISSING:
        raise MissingData(done.stderr.strip().splitlines()[-1])
    if done.returncode:
        raise SystemExit(f"training {name} failed:\n{done.stderr}")


def check_absent() -> None:
    """Raise AssertionError if this process has imported a framework."""
    present = [name for name in FRAMEWORKS if name in sys.modules]
    assert not present, f"the explaining process has imported {', '.join(present)}"


def _main(name: str, folder: str, *short: str) -> int:
    try:
        importlib.import_module(f"tools.literature.{name}_training").train(Path(folder), short=bool(short))
    except MissingData as error:
        print(error, file=sys.stderr)
        return _MISSING
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
