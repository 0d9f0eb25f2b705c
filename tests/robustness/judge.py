"""What becomes of a mutant: it is converted and run in a process of its own, which may take some memory and time."""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import gc
import json
import os
import resource
import signal
import traceback
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

import onnxlrp
from onnxlrp.errors import DefectError, OnnxLrpError

MEMORY = 1 << 30
"""Bytes of address space that a mutant may take beside what the process has."""
SECONDS = 60
EXPLAINED = "explained, outputs equal"
REFUSED = "refused by onnxlrp"
REFUSED_RUNS = "refused by onnxlrp, onnxruntime runs it"
NOT_RUN = "explained, the source loads and does not run on random data"
OUTSIDE = "outside software died on the source"
NOTED = "explained with a note, the source does not load"
INVALID = "explained without a note, the source does not load"
FAULTS = (
    *("the interpreter died", "traceback", "assertion", "explained model does not load where the source does"),
    *("outputs differ", "out of memory", "out of time"),
)
"""Outcomes that may not be, in the order of the report."""
OUTCOMES = (EXPLAINED, REFUSED, REFUSED_RUNS, NOTED, NOT_RUN, INVALID, OUTSIDE, *FAULTS)
_DIED, _TRACEBACK, _ASSERTION, _NOT_LOADED, _DIFFER, _MEMORY, _TIME = FAULTS


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The outcome, and where it came from: the last line of ours in a traceback, or the words of a refusal."""

    outcome: str
    detail: str = ""


def judge(raw: bytes) -> Verdict:
    """Convert and run a mutant in a child of this process; raises nothing."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _be_the_child(raw, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        lines = pipe.read().decode().splitlines()
    _, status = os.waitpid(child, 0)
    phase, *found = lines[-1].split("\t", 1) if lines else ["convert"]
    if os.WIFSIGNALED(status) or not found:
        return _death(phase, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0)
    return Verdict(phase, json.loads(found[0]))


def _death(phase: str, number: int) -> Verdict:
    if number == signal.SIGALRM:
        return Verdict(OUTSIDE if phase == "source" else _TIME, phase)
    return Verdict(OUTSIDE if phase == "source" else _DIED, phase)


def _be_the_child(raw: bytes, writer: int) -> None:
    """Write the phases and the verdict, and leave without tidying up."""
    gc.freeze()  # To end a session of the parent's would wait for threads that only the parent has.
    faulthandler.disable()  # It would print the traceback of a child that dies as it is meant to.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    there = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (there + MEMORY,) * 2)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    try:
        verdict = _verdict(raw, lambda phase: os.write(writer, f"{phase}\n".encode()))
        os.write(writer, f"{verdict.outcome}\t{json.dumps(verdict.detail)}\n".encode())
    finally:
        os._exit(0)


def _verdict(raw: bytes, enter: Any) -> Verdict:
    warnings.simplefilter("ignore")
    enter("convert")
    try:
        explained = onnxlrp.convert(raw)
        emitted = explained.to_proto().SerializeToString()
    except DefectError as error:
        return _of_defect(error.__cause__ or error)
    except OnnxLrpError as error:
        if isinstance(error.__cause__, MemoryError):
            return Verdict(_MEMORY, "convert")
        return Verdict(REFUSED_RUNS if _runs(raw, enter) else REFUSED, str(error)[:200])
    except MemoryError:
        return Verdict(_MEMORY, "to_proto")
    except BaseException as error:
        return _of_defect(error)
    return _compared(raw, emitted, NOTED if explained.notes else INVALID, enter)


def _runs(raw: bytes, enter: Any) -> bool:
    """Decide whether onnxruntime runs a model on random data."""
    enter("source")
    with contextlib.suppress(Exception):
        _run(_session(raw), None)
        return True
    return False


def _of_defect(error: BaseException) -> Verdict:
    frames = traceback.extract_tb(error.__traceback__)
    ours = next((f for f in reversed(frames) if "/onnxlrp/" in f.filename), None)
    place = "" if ours is None else f"{ours.filename.rsplit('/onnxlrp/', 1)[1]}:{ours.name}"
    kind = _ASSERTION if isinstance(error, AssertionError) else _TRACEBACK
    return Verdict(kind, f"{type(error).__name__} in {place}: {' '.join(str(error).split())[:150]}")


def _compared(raw: bytes, emitted: bytes, invalid: str, enter: Any) -> Verdict:
    enter("source")
    try:
        session = _session(raw)
    except Exception as error:
        return Verdict(invalid, str(error)[:200])
    try:
        feeds, wanted = _run(session, None)
    except Exception as error:
        return Verdict(NOT_RUN, str(error)[:200])
    enter("explained")
    try:
        explained = _session(emitted)
    except Exception as error:
        return Verdict(_NOT_LOADED, str(error)[:200])
    try:
        _, found = _run(explained, feeds, [o.name for o in session.get_outputs()])
    except Exception as error:
        return Verdict(_DIFFER, f"it does not run: {error}"[:200])
    # onnxruntime's optimiser changes some results: it takes an Add and a LayerNormalization over several axes for one
    # operator that knows the last axis only.
    enter("source")
    return Verdict(EXPLAINED) if _equal(wanted, found) or _equal(_plain(raw, feeds), found) else Verdict(_DIFFER)


def _plain(raw: bytes, feeds: dict[str, Any]) -> Any:
    """The outputs of the source without onnxruntime's optimiser."""
    return _run(_session(raw, onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL), feeds)[1]


def _session(raw: bytes, level: Any = None) -> Any:
    options = onnxruntime.SessionOptions()
    if level is not None:
        options.graph_optimization_level = level
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])


def _run(session: Any, feeds: dict[str, Any] | None, names: list[str] | None = None) -> tuple[dict[str, Any], Any]:
    """The outputs on random data, and that data."""
    options = onnxruntime.RunOptions()
    options.log_severity_level = 4
    rng = np.random.default_rng(0)
    feeds = {i.name: _drawn(i, rng) for i in session.get_inputs()} if feeds is None else feeds
    return feeds, session.run(names, feeds, options)


def _drawn(port: Any, rng: np.random.Generator) -> np.ndarray:
    shape = [d if isinstance(d, int) and d > 0 else 2 for d in port.shape]
    kind = port.type.removeprefix("tensor(").removesuffix(")")
    name = {"float": "float32", "double": "float64"}.get(kind, kind)
    return rng.normal(size=shape).astype(name)


def _equal(wanted: Any, found: Any) -> bool:
    pairs = zip(wanted, found, strict=True)
    return all(a.shape == b.shape and np.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True) for a, b in pairs)
