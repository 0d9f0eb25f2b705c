"""SHA-256 of files, and marks of files that are hashed later, if they have not changed until then."""

from __future__ import annotations

import dataclasses
import hashlib
import stat
from pathlib import Path


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def name_in(path: Path, folder: Path | None) -> str:
    """Name a file by its place in a folder, with `/` between its parts, or by its name alone if it is elsewhere."""
    real, home = path.resolve(), None if folder is None else folder.resolve()
    return real.relative_to(home).as_posix() if home is not None and real.is_relative_to(home) else path.name


@dataclasses.dataclass(frozen=True)
class FileMark:
    """A file and its state as it was read, so that it can be hashed when somebody asks for it."""

    path: Path
    state: tuple[int, ...] | None
    """Place on the disk, size and time of the last change; None for a file that was gone or is no regular one."""

    @classmethod
    def of(cls, path: Path) -> FileMark:
        """Mark a file as it is now."""
        return cls(path, _state(path))

    def sha256(self) -> str | None:
        """Hash the file; None if it has changed or has gone since it was marked."""
        if self.state is None or _state(self.path) != self.state:
            return None
        try:
            content_hash = sha256_of(self.path)
        except OSError:
            return None
        return content_hash if _state(self.path) == self.state else None


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    whole = stat.S_ISREG(found.st_mode)
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns) if whole else None
