"""Explanations as .npz files, and the removal of unfinished ones from a folder of results."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import struct
import threading
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.array_hashes import ArraySummary, hash_alone
from onnxlrp.targets.argument_arrays import from_maps

UNREADABLE = (
    OSError, ValueError, EOFError, KeyError, RuntimeError, SyntaxError, MemoryError, OverflowError,
    struct.error, tokenize.TokenError, zlib.error, zipfile.BadZipFile,
)  # fmt: skip
"""Errors that numpy and zipfile raise for a damaged array file or archive."""
ARRAY_FILES = threading.Lock()
"""Lock for every array file that numpy reads. It parses headers with `ast.literal_eval`, whose recursion counter all
threads of CPython 3.11 share, so that two at once may end in a SystemError."""
_DRAFT = re.compile(r"\.(map|\d{9,18}-\d{9,18})\.\d+(-[0-9a-f]+)?\.(json|npz|arrow)")


def remove_drafts(folder: Path) -> None:
    """Remove the unfinished files of killed runs from a folder of results; call it only while no other run writes
    there."""
    for path in folder.iterdir():
        if _DRAFT.fullmatch(path.name) and path.is_file():
            path.unlink()


def contents(explanation: Any, names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Collect the arrays of an explanation by the names that they have in a file; `names` maps each explained input to
    the name of its relevance."""
    arrays = {names[name]: value for name, value in explanation.relevance.items()}
    known = {} if explanation.interface is None else explanation.interface.relevance_indices
    arrays |= {known.get(n, f"{names[n]}_indices"): places for n, places in explanation.relevance_indices.items()}
    for kind, of in (("relevance", explanation.relevance_at), ("coefficient", explanation.coefficients_at)):
        arrays |= {f"{name}_{kind}": value for name, value in of.items()}
    arrays |= {f"{name}_value": value for name, value in explanation.values_at.items()}
    arrays |= {name: value for name, value in explanation.outputs.items() if isinstance(value, np.ndarray)}
    for name, value in explanation.outputs.items():
        if (maps := from_maps(value) if isinstance(value, list) else None) is not None:
            arrays[name], arrays[f"{name}_classes"] = maps, np.array([str(key) for key in value[0]])
    if explanation.target is not None:
        arrays.setdefault("target", explanation.target)
    for name in ("base_value", "raw_score"):
        if getattr(explanation, name) is not None:
            arrays.setdefault(name, getattr(explanation, name))
    if explanation.interactions is not None:
        arrays.setdefault("interactions", explanation.interactions)
    if explanation.ledger is not None:
        arrays.setdefault("relevance_ledger", explanation.ledger.values)
    return arrays


def hash_of_arrays(arrays: Mapping[str, Any], known: Mapping[int, ArraySummary] | None = None) -> str:
    """Hash arrays by their names, types, shapes and numbers: SHA-256 of a line of JSON for each, sorted by name.

    `known` holds summaries of arrays that were hashed already, by `id(array)`.
    """
    found = {name: (known or {}).get(id(array)) or _summary(array) for name, array in sorted(arrays.items())}
    lines = [[name, one.dtype, list(one.shape), one.sha256] for name, one in found.items()]
    return hashlib.sha256("".join(json.dumps(line) + "\n" for line in lines).encode()).hexdigest()


def _summary(array: Any) -> ArraySummary:
    return hash_alone(np.asanyarray(array))


def unused(name: str, taken: Collection[str]) -> str:
    """Choose a name that no other array or column has: the name itself, or `name_1`, `name_2` and so on."""
    names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(1)))
    return next(one for one in names if one not in taken)


def names_of_arrays(path: Path) -> list[str]:
    """List the names of the arrays in an .npz file; empty if it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except UNREADABLE:
        return []


def write_npz(path: Path, arrays: Mapping[str, Any], compressed: bool = True, comment: str = "") -> None:
    """Write an .npz that `numpy.load` reads without pickle; `comment` becomes the comment of the zip archive, which
    numpy ignores."""
    # np.savez(**arrays) would fail for an output that a model calls "file", because savez has a parameter of that name.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        archive.comment = comment.encode()
        for name, value in arrays.items():
            array = np.asanyarray(value)
            array = array.astype(str) if array.dtype.kind == "O" else array
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)
