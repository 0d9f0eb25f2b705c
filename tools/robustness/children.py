"""Processes that are forked from this one, which has imported everything: each starts in milliseconds.

A child must not collect the garbage of its parent. A session of onnxruntime may be in it, whose threads only the parent
has, and to end the session waits for them.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import warnings
from collections.abc import Callable
from typing import Any

_FORK = multiprocessing.get_context("fork")


class ChildDied(Exception):
    """Says that a child ended without a result."""


class Child:
    """A process that works on `call`, which may tell this one of its steps by calling its argument."""

    def __init__(self, call: Callable[[Callable[[Any], None]], Any]) -> None:
        self._reader, writer = _FORK.Pipe(duplex=False)
        self._process = _FORK.Process(target=_work, args=(call, writer))
        collecting = gc.isenabled()
        gc.disable()
        self._process.start()
        if collecting:
            gc.enable()
        writer.close()

    def hear(self) -> Any:
        """The next thing that it tells, or its result."""
        try:
            return self._reader.recv()
        except EOFError as error:
            self._process.join()
            raise ChildDied(f"a process ended with status {self._process.exitcode}") from error

    def join(self) -> None:
        """Wait for its end."""
        self._process.join()
        self._reader.close()

    def kill(self) -> None:
        """End it by SIGKILL, if it has not ended by itself."""
        self._process.kill()
        self.join()


def call_in_child(call: Callable[[], Any]) -> Any:
    """The result of a call in a process of its own. Raises ChildDied where it has none."""
    child = Child(lambda tell: call())
    try:
        return child.hear()
    finally:
        child.join()


def _work(call: Callable[[Callable[[Any], None]], Any], writer: Any) -> None:
    gc.freeze()
    gc.enable()
    warnings.simplefilter("ignore")  # cautions about explanations of random numbers
    writer.send(call(writer.send))
    writer.close()
    os._exit(0)
