"""Run one of the measurements of this folder: `python -m tools.trees NAME [OPTION]...`, where NAME is a file's name."""

from __future__ import annotations

import importlib
import pathlib
import sys

NAMES = sorted(path.stem for path in pathlib.Path(__file__).parent.glob("[!_]*.py"))

if __name__ == "__main__":
    name, *options = sys.argv[1:] or [""]
    if name not in NAMES:
        raise SystemExit(f"python -m tools.trees takes one of {', '.join(NAMES)}")
    raise SystemExit(importlib.import_module(f"tools.trees.{name}").main(options))
