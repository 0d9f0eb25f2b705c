"""Files that a user may give for an input: good, odd and damaged ones, each with the array that it means."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from tools.robustness.models import COLUMNS, SIDE

ANYTHING = "anything"
"""Meaning that cannot be told: the numbers of a file whose bytes are damaged."""
Case = tuple[str, bytes, Any]
"""Name with its suffix, the content, and its meaning: an array, ANYTHING, or None for nothing."""
ROWS = np.random.default_rng(5).normal(size=(3, COLUMNS)).astype(np.float32).round(2)
UNPICKLED: list[str] = []
"""Words of the pickles that ran."""


class Flag:
    """An object whose pickle, if it runs, leaves a word in UNPICKLED, and does nothing else."""

    def __reduce__(self) -> Any:
        return mark, ("ran",)  # a function by name, because a list's method would append to a copy


def mark(word: str) -> None:
    """Note that a pickle ran."""
    UNPICKLED.append(word)


def arrays() -> Iterator[Case]:
    """Yield array files of numpy."""
    good = _npy(ROWS)
    yield from (("good.npy", good, ROWS), ("columns.npy", _npy(np.asfortranarray(ROWS)), ROWS))
    yield from (("big.npy", _npy(ROWS.astype(">f4")), ROWS), ("more.npy", good + b"more", ROWS))
    for version in ((1, 0), (2, 0), (3, 0)):
        yield f"version{version[0]}.npy", _npy(ROWS, version), ROWS
    for size in (*range(12), 60, 100, 127, 128, 129, 150, len(good) - 1):
        yield f"cut{size}.npy", good[:size], None
    for place in (0, 5, 6, 7, 8, 9, 10, 11, 20, 24, 30, 45, 60, 70, 80):
        yield f"flip{place}.npy", _flipped(good, place), ANYTHING
    for kind in ("f2", "i8", "U2", "S2", "c8", "M8[s]", "f4,i4", "?"):
        yield f"{kind.replace(',', '-')}.npy", _npy(np.zeros((3, COLUMNS), kind)), None
    yield from (("text.npy", b"1,2,3,4\n", None), ("zip.npy", _zip({"x.npy": good}), ROWS))


def archives() -> Iterator[Case]:
    """Yield archives of arrays."""
    good = _npy(ROWS)
    whole = _zip({"x.npy": good})
    yield from (("one.npz", whole, ROWS), ("packed.npz", _zip({"x.npy": good}, zipfile.ZIP_DEFLATED), ROWS))
    yield from (
        ("two.npz", _zip({"x.npy": good, "z.npy": _npy(ROWS * 0)}), ROWS),
        ("other.npz", _zip({"z.npy": good}), ROWS),
    )
    yield from (("none.npz", _zip({}), None), ("others.npz", _zip({"a.npy": good, "b.npy": good}), None))
    yield from (("up.npz", _zip({"../x.npy": good}), ANYTHING), ("text.npz", _zip({"x": b"text"}), None))
    yield from (("zip.npz", _zip({"x.npy": whole}), None), ("short.npz", _zip({"x.npy": good[:-5]}), None))
    yield from (("array.npz", good, ANYTHING), ("control.npz", _zip({"\x1b[31m": good, "b": good}), None))
    for size in (*range(6), 30, 60, len(whole) // 2, len(whole) - 22, len(whole) - 1):
        yield f"cut{size}.npz", whole[:size], None
    for place in (0, 4, 6, 8, 14, 18, 26, 40, len(whole) - 60, len(whole) - 40, len(whole) - 20, len(whole) - 4):
        yield f"flip{place}.npz", _flipped(whole, place), ANYTHING


def pickles() -> Iterator[Case]:
    """Yield arrays of objects, and pickles by themselves, which must never run."""
    import pickle

    held = np.array([[Flag()] * COLUMNS], object)
    npy = _npy(held)
    for suffix in ("npy", "npz", "csv", "txt", "png", "pkl", "dat"):
        yield f"pickle.{suffix}", pickle.dumps(Flag()), None
    yield from (("objects.npy", npy, None), ("objects.npz", _zip({"x.npy": npy}), None))
    yield from (("entry.npz", _zip({"x": pickle.dumps(Flag())}), None), ("named.npz", _zip({"x.pkl": npy}), None))
    yield "structured.npy", _npy(np.array([(Flag(), 1)], "O,f4")), None


def tables() -> Iterator[Case]:
    """Yield tables as text."""
    rows = "\n".join(",".join(map(str, row)) for row in ROWS.tolist())
    good = {
        "plain": rows, "ended": rows + "\n", "blank": "\n" + rows + "\n\n", "header": "a,b,c,d\n" + rows,
        "windows": rows.replace("\n", "\r\n"), "old": rows.replace("\n", "\r"), "spaces": rows.replace(",", " , "),
        "quoted": "\n".join(",".join(f'"{one}"' for one in line.split(",")) for line in rows.split("\n")),
        "exponents": "\n".join(",".join(f"{one:e}" for one in row) for row in ROWS.tolist()),
    }  # fmt: skip
    yield from ((f"{name}.csv", text.encode(), ROWS) for name, text in good.items())
    yield from (
        ("mark.csv", b"\xef\xbb\xbf" + rows.encode(), ROWS),
        ("tabs.tsv", rows.replace(",", "\t").encode(), ROWS),
    )
    yield from (
        ("semicolons.csv", rows.replace(",", ";").encode(), ANYTHING),
        ("utf16.csv", rows.encode("utf-16"), None),
    )
    yield from ((f"{name}.csv", text.encode(), None) for name, text in _NO_TABLES.items())
    yield from ((f"{name}.csv", text.encode(), ANYTHING) for name, text in _PERHAPS.items())
    yield from (("latin.csv", "é,2,3,4".encode("latin-1"), None), ("random.csv", bytes(range(256)), None))
    yield from (("rows.txt", rows.encode(), ANYTHING), ("words.txt", b"some words", None), ("empty.txt", b"", None))


_NO_TABLES = {
    "empty": "",
    "newline": "\n",
    "comma": ",",
    "word": "word",
    "header alone": "a,b,c,d",
    "one": "1",
    "words": "a,b\nc,d",
    "ragged": "1,2,3,4\n1,2,3",
    "wide": "1,2,3,4,5",
    "narrow": "1,2,3",
    "brackets": "[1,2,3,4]",
    "many": ",".join("1" * 3000),
}
_PERHAPS = {
    "huge": "1,2,3,1e999",
    "too large": "1,2,3,1e39",
    "hex": "0x1,2,3,4",
    "underscores": "1_0,2,3,4",
    "complex": "1j,2,3,4",
    "open quote": '"1,2,3,4',
    "date": "2020-01-01,2,3,4",
    "sums": "=1+1,2,3,4",
    "zero byte": "1,2,\x003,4",
    "control": "\x1b[31m,2,3,4",
    "turned": "1\u202e,2,3,4",
    "percent": "1%,2,3,4",
    "thousands": '"1,000",2,3,4',
    "decimal comma": '"1,5";2;3;4',
    "long": "9" * 5000 + ",2,3,4",
    "lines": "1\n" * 5,
    "true": "True,False,1,0",
    "missing": "1,,3,4",
    "nan": "nan,2,3,4",
    "NA": "NA,2,3,4",
    "infinite": "inf,2,3,-inf",
}
"""Tables whose first line may be read as names, or whose words a reader of numbers may know."""


def pictures() -> Iterator[Case]:
    """Yield pictures of every kind, whole and damaged."""
    rng = np.random.default_rng(6)
    colours = Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8))
    pixels = np.moveaxis(np.asarray(colours), -1, 0)[None].astype(np.float32)
    for kind in ("png", "bmp", "tiff", "ppm", "tga"):
        yield f"good.{kind}", _picture(colours, kind), pixels
    for mode in ("L", "P", "1", "LA", "RGBA"):
        yield f"{mode}.png", _picture(colours.convert(mode), "png"), ANYTHING
    yield "deep.png", _picture(colours.convert("I;16"), "png"), ANYTHING
    for mode in ("I", "F", "CMYK"):
        yield f"{mode}.tiff", _picture(colours.convert(mode), "tiff"), ANYTHING
    yield from ((f"lossy.{kind}", _picture(colours, kind), ANYTHING) for kind in ("jpeg", "gif", "webp"))
    yield "CMYK.jpeg", _picture(colours.convert("CMYK"), "jpeg"), ANYTHING
    yield from (
        (f"{w}x{h}.png", _picture(colours.resize((w, h)), "png"), ANYTHING) for w, h in ((1, 1), (1, 300), (300, 1))
    )
    for kind in ("png", "jpeg", "gif", "tiff", "webp", "bmp"):
        whole = _picture(colours, kind)
        for part in (4, 2, 1.2):
            yield f"cut{part}.{kind}", whole[: int(len(whole) / part)], ANYTHING
        yield f"flip.{kind}", _flipped(whole, len(whole) // 3), ANYTHING
    yield from (
        ("empty.png", b"", None),
        ("text.png", b"a text", None),
        ("other.jpeg", _picture(colours, "png"), pixels),
    )


def _npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    held = io.BytesIO()
    np.lib.format.write_array(held, array, version, allow_pickle=True)
    return held.getvalue()


def _zip(entries: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", how) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return held.getvalue()


def _picture(picture: Image.Image, kind: str) -> bytes:
    held = io.BytesIO()
    picture.save(held, kind)
    return held.getvalue()


def _flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]
