"""Verdict on a file in a runtime, from its answers and onnxruntime's."""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from tools.runtimes.jobs import Answer

RIGHT, WRONG, REFUSED, NO_SOURCE = "right", "wrong", "refused", "no source"
WORDS = (RIGHT, WRONG, REFUSED, NO_SOURCE)
BOUND = 5e-3
"""Largest relative L2 distance from onnxruntime that is right."""
SOURCE_BOUND = 1e-3
"""Largest distance of a source. One that is further away, such as a quantised model that is rounded otherwise, has
activations of its own, whose relevance cannot be compared."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """One cell of the table."""

    word: str
    cause: str = ""
    distance: float = 0.0
    """Largest relative L2 distance of an output, where all calls were answered."""


def judge(source: Answer, source_meant: Answer, found: Answer, meant: Answer) -> Verdict:
    """Compare an explained file's answers, after those of its source."""
    if source.error is not None:
        return Verdict(NO_SOURCE, source.error)
    if (far := distance(source, source_meant)) > SOURCE_BOUND:
        return Verdict(NO_SOURCE, f"the source's own outputs differ by {far:.0e}", far)
    if found.error is not None:
        return Verdict(REFUSED, found.error)
    far = distance(found, meant)
    return Verdict(RIGHT if far <= BOUND else WRONG, "" if far <= BOUND else differing(found, meant), far)


def distance(found: Answer, meant: Answer) -> float:
    """Measure the largest distance of an output of a call."""
    return max(far for _, _, far in _distances(found, meant))


def differing(found: Answer, meant: Answer) -> str:
    """Name the outputs that differ, and the calls."""
    far = [(call, name) for call, name, distance in _distances(found, meant) if distance > BOUND]
    names = sorted({name for _, name in far})
    return f"{', '.join(names)} at call {', '.join(sorted({str(call + 1) for call, _ in far}))}"


def _distances(found: Answer, meant: Answer) -> list[tuple[int, str, float]]:
    return [
        (index, name, _relative(ours[name], array))
        for index, (ours, theirs) in enumerate(zip(found.calls, meant.calls, strict=True))
        if not isinstance(ours, str) and not isinstance(theirs, str)
        for name, array in theirs.items()
    ]


def _relative(found: np.ndarray, meant: np.ndarray) -> float:
    """Measure the relative L2 distance; infinite for another shape or another label."""
    if found.shape != meant.shape:
        return float("inf")
    if meant.dtype.kind not in "fc":
        return 0.0 if np.array_equal(found, meant) else float("inf")
    found, meant = found.astype(np.float64), meant.astype(np.float64)
    if np.array_equal(found, meant, equal_nan=True):
        return 0.0
    with np.errstate(invalid="ignore"):
        gap = np.linalg.norm(found - meant)
    if not np.isfinite(gap):
        return float("inf")
    return float(gap / max(np.linalg.norm(meant), 1e-30))


_CAUSES = (
    (r"(the process ended with status -?\d+)", r"\1"),
    (r"(no answer within \d+ s)", r"\1"),
    # onnxruntime-web
    (r"No Op registered for (\w+)", r"no \1"),
    (r"while running (\w+) node\..*?Status Message: (?:\S+\.cc:\d+ \w+ )?(.*)", r"\1: \2"),
    (r"GenerateSourceCode (.*)", r"\1"),
    # OpenVINO
    (
        r"with a message:.*FrontEnd API failed with \w+: (.*?)(?: Node: .*?)? Summary: -- Conversion is failed for:"
        r" (\S+)",
        r"\2: \1",
    ),
    (r"No conversion rule found for operations: (.*?)(?: --|$)", r"no rule for \1"),
    # OpenCV
    (r"Unsupported operations: (\S+)", r"\1 is not supported"),
    (r"'Strings' \(\d+\) are not supported", "attributes of strings are not supported"),
    (r"error: \((-?\d+:.*?)\) (.*?) in function '(\w+)'", r"\2"),
    # tract
    (r"Unimplemented\((\w+)\)", r"\1 is not implemented"),
    (r"(Impossible to unify .*?)\.?(?: Stack|$)", r"\1"),
    (r"(Can't divide .*?)(?: Stack|$)", r"\1"),
    # onnx2torch
    (r"operation_type='(\w+)', version=(\d+)", r"no converter for \1-\2"),
)
"""Patterns in messages, and the few words that stand for them."""


def shortened(error: str, length: int = 120) -> str:
    """Say an error in a few words: a known cause, or its beginning without paths."""
    for pattern, words in _CAUSES:
        if match := re.search(pattern, error):
            error = match.expand(words)
            break
    error = re.sub(r"\S*/[\w.-]+/\S*", "…", error)
    return error if len(error) <= length else error[: length - 1] + "…"
