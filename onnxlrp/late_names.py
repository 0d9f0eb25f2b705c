"""Public names that are imported at their first use, so that `onnxlrp --help` does not wait for onnx and numpy."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Mapping
from typing import Any

from onnxlrp.near_names import did_you_mean


class _Package(types.ModuleType):
    """Package that imports a public name, or one of its modules, once somebody asks for it."""

    _homes: Mapping[str, str]
    """Module of each public name, without the package's own name."""

    def __getattr__(self, name: str) -> Any:
        package = self.__name__
        if name in self._homes:
            setattr(self, name, getattr(importlib.import_module(f"{package}.{self._homes[name]}"), name))
            return self.__dict__[name]
        if not name.startswith("_"):
            try:
                return importlib.import_module(f"{package}.{name}")
            except ModuleNotFoundError as error:
                if error.name != f"{package}.{name}":
                    raise
        raise AttributeError(f"module {package!r} has no attribute {name!r}{did_you_mean(name, dir(self))}")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, types.ModuleType) and self._homes.get(name) == name:
            value = getattr(value, name)  # The import system would cover the function `convert` with its module.
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *self._homes})


def install(package: str, homes: Mapping[str, str]) -> None:
    """Let a package import names at their first use; `homes` says in which of its modules each public name is."""
    module = sys.modules[package]
    module.__dict__["_homes"] = homes
    module.__class__ = _Package
