"""Processes forked from this one, which has imported everything, so that each starts in milliseconds.

A child must not collect the garbage of its parent: that may hold a session of onnxruntime, and ending the session waits
for threads that only the parent has.
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
    """Raised if a child ended without a result."""


class Child:
    """A process that runs `call`; it may report its steps by calling its argument."""

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
        """Receive the next report, or the result."""
        try:
            return self._reader.recv()
        except EOFError as error:
            self._process.join()
            raise ChildDied(f"a process ended with status {self._process.exitcode}") from error

    def join(self) -> None:
        """Wait for the end of the process."""
        self._process.join()
        self._reader.close()

    def kill(self) -> None:
        """End the process by SIGKILL, if it has not ended by itself."""
        self._process.kill()
        self.join()


def call_in_child(call: Callable[[], Any]) -> Any:
    """Return the result of a call in a process of its own. Raises ChildDied if it has none."""
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
