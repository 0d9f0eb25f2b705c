"""Drafts: files that are written whole or not at all, because a draft beside each replaces it at the end."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from onnxlrp.replacing import check_folder, check_replaceable


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Open a draft of `path` as `draft` does, after removing the drafts that killed processes left of it."""
    remove_abandoned(path)
    with draft(path) as name:
        yield name


@contextlib.contextmanager
def draft(path: Path) -> Iterator[Path]:
    """Open a new file beside `path` to write to; it replaces `path` if the block ends without an error, else it is
    removed.

    The new file is locked as long as this process lives. Raises InputError if `path` is a link, a folder or otherwise
    no regular file, or if its folder does not exist.
    """
    check_replaceable(path)
    check_folder(path)
    name, handle = _new(path)
    try:
        yield name
        name.replace(path)
    finally:
        name.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def remove_abandoned(path: Path) -> None:
    """Remove the drafts of `path` that killed processes left: those that nobody holds a lock on.

    The process number in a draft's name would not tell: numbers are used again, and other machines and containers have
    numbers of their own. Drafts stay if the system (Windows) or the file system has no such locks.
    """
    ours = re.compile(rf"\.{re.escape(path.stem)}\.\d+-[0-9a-f]{{8}}{re.escape(path.suffix)}")
    with contextlib.suppress(OSError):
        for path_of_draft in [one for one in path.parent.iterdir() if ours.fullmatch(one.name)]:
            _remove_unless_held(path_of_draft)


def _new(path: Path) -> tuple[Path, int | None]:
    """Create a draft, and return its name with the handle that keeps it locked; the umask decides who may read it."""
    while True:
        name = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
        handle = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        if sys.platform == "win32":  # Windows cannot replace an open file
            os.close(handle)
            return name, None
        _lock(handle, wait=True)
        if name.exists():  # until it is locked, another process may have removed it as abandoned
            return name, handle
        os.close(handle)


def _remove_unless_held(name: Path) -> None:
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        handle = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if stat.S_ISREG(os.fstat(handle).st_mode) and _lock(handle, wait=False):
                name.unlink()
        finally:
            os.close(handle)


def _lock(handle: int, wait: bool) -> bool:
    """Lock a file, and return whether that was possible."""
    if sys.platform == "win32":
        return False
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True
