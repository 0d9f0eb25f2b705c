"""Lock of a folder: one writer at a time. The operating system releases it when the process that holds it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from onnxlrp.errors import InputError

NAME = ".map.lock"
"""Name of the lock's file, which exists as long as a run writes to the folder."""
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. Raises InputError if another thread or process holds it, or if nothing can be written
    there.

    A run that is killed leaves the file, but not the lock, so that the next run can lock the file again.
    """
    file = _take(folder)
    try:
        yield
    finally:
        # Remove the file while it is locked, because later it may be the next writer's. Windows removes no open file:
        # there it is removed afterwards, which fails if the next writer has it open.
        if sys.platform != "win32":
            (folder / NAME).unlink(missing_ok=True)
        file.close()
        if sys.platform == "win32":
            with contextlib.suppress(OSError):  # the next writer has it open
                (folder / NAME).unlink(missing_ok=True)


def _take(folder: Path) -> IO[bytes]:
    """Open and lock the file; try again if another run removed the file between the two."""
    path = folder / NAME
    while True:
        try:
            file = path.open("ab")
        except OSError as error:
            raise InputError(f"nothing can be written to '{folder}': {error.strerror or error}") from error
        try:
            _lock(file, folder)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            file.close()
            raise
        file.close()


def _lock(file: IO[bytes], folder: Path) -> None:
    try:
        _ask(file.fileno())
    except OSError as error:
        if error.errno in _TAKEN:
            raise InputError(
                f"another run is writing to '{folder}' now: wait for it to end, or write to another folder"
            ) from error
        warnings.warn(
            f"the file system of '{folder}' has no locks: start no second run that writes there", stacklevel=2
        )


def _ask(descriptor: int) -> None:
    """Ask for the lock without waiting. Raises OSError if it is held elsewhere."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
