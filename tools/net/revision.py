"""Package of a revision of the repository, and a way to run a module with it or with the working tree's."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = Path(tempfile.gettempdir()) / "onnxlrp-net"


def commit(revision: str) -> str:
    """Return the hash of a revision. Raises SystemExit if there is none of this name."""
    command = ["git", "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if found.returncode:
        raise SystemExit(f"{revision!r} is no revision of this repository")
    return found.stdout.strip()


def package(commit: str, folder: Path = FOLDER) -> Path:
    """Return the folder that holds `onnxlrp` as it was at a commit; it is written once and kept."""
    place = folder / commit / "package"
    if not place.exists():
        packed = subprocess.run(["git", "archive", commit, "onnxlrp"], cwd=ROOT, capture_output=True, check=True).stdout
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=place.parent))
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(partial, filter="data")
        partial.rename(place)
    return place


def run(place: Path, module: str, arguments: Sequence[str]) -> None:
    """Run a module of the working tree's tools in a process that imports `onnxlrp` from `place`, on one thread."""
    subprocess.run([sys.executable, "-m", module, *arguments], cwd=place, env=environment(place), check=True)


def environment(place: Path) -> dict[str, str]:
    """Make the environment of a process that imports `onnxlrp` from its working folder `place`, on one thread."""
    paths = os.pathsep.join([str(place), str(ROOT)])
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def check_imported(place: Path) -> None:
    """Make sure that this process runs the package of `place`."""
    import onnxlrp

    if not Path(onnxlrp.__file__).is_relative_to(place.resolve()):
        raise SystemExit(f"onnxlrp was imported from {onnxlrp.__file__}, not from {place}")
