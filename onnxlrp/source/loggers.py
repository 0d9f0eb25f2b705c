"""Silence the logs of libraries, which warn about correct models.

Loggers belong to the whole process, and conversions may run in threads: the first conversion that wants a logger silent
silences it, the last one restores its level, and no conversion restores a level that another one has set.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

_CHANGING = threading.Lock()
_SILENT: dict[str, tuple[int, int]] = {}
"""The number of conversions that want each logger silent, and the level that it had before; by the logger's name."""


def quiet(name: str) -> None:
    """Let a logger report only errors from now on. The level is set only if it changes, because each change empties the
    caches of all loggers."""
    with _CHANGING:
        logger = logging.getLogger(name)
        if name in _SILENT:
            count, before = _SILENT[name]
            _SILENT[name] = count, max(before, logging.ERROR)
        elif logger.level < logging.ERROR:
            logger.setLevel(logging.ERROR)


@contextlib.contextmanager
def silenced(*names: str) -> Iterator[None]:
    """While this context lasts, in any thread, silence some loggers completely."""
    with _CHANGING:
        for name in names:
            logger = logging.getLogger(name)
            count, before = _SILENT.get(name, (0, logger.level))
            _SILENT[name] = count + 1, before
            if not count:
                logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        with _CHANGING:
            for name in names:
                count, before = _SILENT.pop(name)
                if count > 1:
                    _SILENT[name] = count - 1, before
                else:
                    logging.getLogger(name).setLevel(before)
