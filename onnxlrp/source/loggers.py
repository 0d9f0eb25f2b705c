"""The libraries' own logs: what they say of models that are right is kept from the user.

Loggers belong to the whole process, and conversions may run in threads: the first one in silences, the last one out
restores, and no conversion restores what another has set.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

_CHANGING = threading.Lock()
_SILENT: dict[str, tuple[int, int]] = {}
"""Of every silenced logger the number of conversions that want it silent, and its level before."""


def quiet(name: str) -> None:
    """Only a logger's errors from now on; every change of a level empties the caches of all loggers there are."""
    with _CHANGING:
        logger = logging.getLogger(name)
        if name in _SILENT:
            count, before = _SILENT[name]
            _SILENT[name] = count, max(before, logging.ERROR)
        elif logger.level < logging.ERROR:
            logger.setLevel(logging.ERROR)


@contextlib.contextmanager
def silenced(*names: str) -> Iterator[None]:
    """Not even the errors of some loggers, while this lasts in any thread."""
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
