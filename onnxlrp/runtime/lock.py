"""One writer in a folder, kept by a lock of the operating system, which ends with the process that holds it."""

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
"""Name of the lock's file; it is there as long as somebody writes."""
_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextlib.contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Holds the folder's lock. Raises InputError where another thread or process holds it, or nothing can be written.

    A run that is killed leaves the file, but not the lock: the next run takes both.
    """
    file = _take(folder)
    try:
        yield
    finally:
        # Elsewhere than on Windows, removing it later could take away the lock of the next writer.
        if sys.platform != "win32":
            (folder / NAME).unlink(missing_ok=True)
        file.close()
        if sys.platform == "win32":
            with contextlib.suppress(OSError):  # the next writer has it open
                (folder / NAME).unlink(missing_ok=True)


def _take(folder: Path) -> IO[bytes]:
    """The locked file. The file that was opened may have been removed before it was locked: then the next is tried."""
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
    """Asks for the lock without waiting; OSError where it is taken."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
