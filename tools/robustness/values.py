"""Values that a user may give for an input, each with the array that it means."""

from __future__ import annotations

import array as arrays_of_python
import datetime
import decimal
import fractions
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tools.robustness.models import COLUMNS

Case = tuple[str, Any, np.ndarray | None]
"""Name, value, and the array that it means; None if it means none."""
_TYPES = (
    *("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("bool", "complex64", "complex128", "U3", "S3", "object", "datetime64[s]", "timedelta64[s]", "V4", "f4,i4"),
)
_SHAPES = ((), (COLUMNS,), (3, COLUMNS), (0, COLUMNS), (3, COLUMNS + 1), (1, 3, COLUMNS), (3, 0))


class Holder:
    """An object that claims to be an array, and gives the object that it holds."""

    def __init__(self, held: Any) -> None:
        self._held = held

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if isinstance(self._held, Exception):
            raise self._held
        return self._held


class Kind(np.ndarray):
    """A subclass of numpy's array."""


def containers(dtype: str, folder: Path) -> Iterator[Case]:
    """Yield the same numbers in everything that holds numbers."""
    good = np.random.default_rng(0).normal(size=(3, COLUMNS)).astype(dtype)
    rows = good.tolist()
    mapped = np.memmap(folder / f"{dtype}.bin", dtype, "w+", shape=good.shape)
    mapped[:] = good
    shifted = np.frombuffer(b"\0" + good.tobytes(), np.uint8)[1:].view(dtype).reshape(good.shape)
    fixed = good.copy()
    fixed.flags.writeable = False
    same = {
        "an array": good, "a list": rows, "tuples": tuple(map(tuple, rows)), "a list of arrays": list(good),
        "by columns": np.asfortranarray(good), "every other": np.repeat(good, 2, 1)[:, ::2],
        "backwards": good[::-1, ::-1].copy()[::-1, ::-1], "read-only": fixed, "a subclass": good.view(Kind),
        "the other byte order": good.astype(good.dtype.newbyteorder()), "a memory map": mapped, "unaligned": shifted,
        "a matrix": np.asmatrix(good), "masked nowhere": np.ma.masked_array(good), "a holder": Holder(good),
        "numbers of numpy in lists": [list(row) for row in good], "a holder of the other byte order":
        Holder(good.astype(good.dtype.newbyteorder())),
    }  # fmt: skip
    yield from ((name, value, good) for name, value in same.items())
    yield "a row for all", np.broadcast_to(good[:1], good.shape), np.repeat(good[:1], 3, 0)
    yield "masked somewhere", np.ma.masked_array(good, good > 0), None


def numbers(dtype: str) -> Iterator[Case]:
    """Yield numbers at the limits of a type, in an array and in a list."""
    limits = np.finfo(dtype)
    for value in (np.nan, np.inf, -np.inf, -0.0, limits.max, limits.min, limits.tiny, limits.smallest_subnormal):
        meant = np.full((2, COLUMNS), value, dtype)
        yield f"{value} in an array", meant, meant
        yield f"{value} in a list", meant.tolist(), meant


def types() -> Iterator[Case]:
    """Yield arrays of every element type and shape; only one type and rows of one length fit."""
    for kind in _TYPES:
        for shape in _SHAPES:
            value = np.zeros(shape, np.dtype(kind))
            fits = value.dtype == np.float32 and value.ndim == 2 and shape[1] == COLUMNS
            yield f"{kind} {list(shape)}", value, value if fits else None


def objects() -> Iterator[Case]:
    """Yield values that are no array of numbers."""
    circle: list = []
    circle.append(circle)
    row = [1.0] * COLUMNS
    given = {
        "None": None, "a text": "text", "a number": 1.0, "bytes": b"1234", "a bytearray": bytearray(16),
        "a dict": {"a": 1}, "a set": {1, 2}, "a range": range(COLUMNS), "a generator": (one for one in [row]),
        "an empty list": [], "an empty row": [[]], "rows of two lengths": [row, row[:2]], "a list in itself": circle,
        "None among numbers": [[1, 2, 3, None]], "a text among numbers": [[1, 2, 3, "4"]], "texts": [["1"] * COLUMNS],
        "fractions": [[fractions.Fraction(1, 2)] * COLUMNS], "decimals": [[decimal.Decimal(1)] * COLUMNS],
        "complex numbers": [[1j] * COLUMNS], "a huge integer": [[10**400] * COLUMNS],
        "dates": [[datetime.date.min] * COLUMNS],
        "a class": Holder, "an object": object(), "a module": np, "a function": len, "an error": Holder(KeyError("no")),
        "nothing from a holder": Holder(None), "an iterator": iter([row]), "a slice": slice(3), "an ellipsis": ...,
    }  # fmt: skip
    yield from ((name, value, None) for name, value in given.items())
    if_cast = np.ones((1, COLUMNS))
    yield "integers in a list", [[1] * COLUMNS], if_cast
    yield "truths in a list", [[True] * COLUMNS], if_cast
    yield "arrays of Python in a list", [arrays_of_python.array("d", row)], if_cast


def ids() -> Iterator[Case]:
    """Yield values for an input of token ids up to 19."""
    good = np.arange(6).reshape(2, 3)
    yield from (("an array", good, good), ("a list", good.tolist(), good), ("a range in a list", [range(3)], good[:1]))
    yield from (("whole numbers that are floats", [[0.0, 1.0]], good[:1, :2]), ("halves", [[0.5]], None))
    yield from (("int32", good.astype(np.int32), None), ("uint64", good.astype(np.uint64), None))
    yield from (("truths", good > 2, None), ("past the last", good + 100, None), ("far past", good + 2**62, None))
    yield from (
        ("no token", good[:, :0], good[:, :0]),
        ("more than 64 bits", [[2**70]], None),
        ("NaN", [[np.nan]], None),
    )
    yield from (
        ("one axis", good[0], None),
        ("three axes", good[None], None),
        ("a text without tokenizer", "text", None),
    )


def mappings(good: np.ndarray) -> Iterator[tuple[str, Any]]:
    """Yield values for all inputs together that name none, another, or more."""
    for value in (None, "x", 1, [good], ("x", good), {"x"}, object(), {}, [("x", good)], np.float32(1)):
        yield f"{type(value).__name__} as inputs", value
    for name in ("y", "", "X", "x ", "target", "x_relevance", None, 1, ("x",), b"x", "\x1b[31m", "x" * 9000):
        yield f"an input {name!r:.20}", {name: good}
        yield f"x and {name!r:.20}", {"x": good, name: good}


def targets(classes: int) -> Iterator[tuple[str, Any, list[int] | None]]:
    """Yield targets for three samples, and the classes that they mean; -1 stands for the predicted one."""
    last = classes - 1
    for value in (-1, 0, last, np.int32(1), np.uint8(1), np.int64(last), np.array(1), [0], np.zeros((3, 1), np.int64)):
        yield repr(value), value, [int(np.ravel(value)[0])] * 3
    yield "None", None, [-1] * 3
    for row in ([0, 1, 2], (0, 1, 2), np.arange(3), np.arange(3, dtype=np.uint16), range(3)):
        yield f"{row!r}, one a sample", row, [0, 1, 2]
    wrong = (
        -2, classes, 2**40, 2**70, -(2**70), 0.5, np.nan, np.inf, "1", "", b"1", 1j, [], [0, 1], [0, 1, 2, 0],
        [[0, 1, 2]], [0, 1, 5], [0, None, 1], ["a", "b", "c"], {"a": 1}, {0}, object(), len,
        np.array([0.5, 1, 2]), np.ones(3, bool), np.array(["1"] * 3), np.zeros(0, np.int64), np.zeros((3, 3)), ...,
    )  # fmt: skip
    yield from ((f"{value!r:.40}", value, None) for value in wrong)


def weights(shape: tuple[int, int]) -> Iterator[tuple[str, Any, np.ndarray | None]]:
    """Yield weights of an output, and their meaning; None if they mean nothing."""
    full = np.random.default_rng(2).normal(size=shape).astype(np.float32)
    for name, value in {"all": full, "one a class": full[0], "one a sample": full[:, :1], "one": full[0, 0]}.items():
        yield name, value, np.broadcast_to(value, shape)
    yield "a list", full.tolist(), full
    yield "None", None, np.ones(shape, np.float32)
    wrong = (
        full[:, :2],
        full[:2],
        full[None],
        "text",
        {"a": 1},
        [[1, 2], [3]],
        [None],
        object(),
        full.astype(complex),
        len,
    )
    yield from ((f"{type(value).__name__} {np.shape(value) if index < 3 else index}", value, None)
                for index, value in enumerate(wrong))  # fmt: skip
