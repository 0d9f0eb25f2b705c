"""Optional packages, imported when they are asked for."""

from __future__ import annotations

import importlib
from typing import Any

from onnxlrp.errors import OnnxLrpError


def optional(module: str, purpose: str, package: str = "") -> Any:
    """Import an optional module, such as `"pandas"`.

    `purpose` begins the sentence of the error, such as "a data frame"; `package` is the name to install it by, if it
    differs from the module's. Raises OnnxLrpError, which says what to install, if it is not there.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = package or module.partition(".")[0]
        raise OnnxLrpError(
            f"{purpose} needs {package}, which cannot be imported ({error}): pip install {package}"
        ) from error
