"""Measure subjects in runtimes: convert, run everywhere, compare with onnxruntime."""

from __future__ import annotations

import dataclasses
import hashlib
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import onnxlrp
from onnxlrp.errors import OnnxLrpError
from tools.runtimes import asked_targets, jobs, verdicts
from tools.runtimes.engines import ENGINES, Engine
from tools.runtimes.in_python import by_onnxruntime
from tools.runtimes.jobs import Answer, Call, Job
from tools.runtimes.subjects import Subject
from tools.runtimes.verdicts import Verdict

Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A subject's two files with the calls to make, and onnxruntime's answers to them."""

    subject: Subject
    profile: str
    source: Job
    explained: Job
    source_meant: Answer
    meant: Answer
    noise: float
    """Distance between onnxruntime's answers with its optimisations and without: what rounding alone may change."""


@dataclasses.dataclass
class Row:
    """A subject and its verdict in every runtime."""

    subject: Subject
    profile: str
    noise: float
    verdicts: dict[str, Verdict] = dataclasses.field(default_factory=dict)


def prepare(subject: Subject, profile: str, room: Path, **options: Any) -> Prepared | str:
    """Convert a subject and run it in onnxruntime; a text says why that cannot be done."""
    proto, feeds = subject.load(), dict(subject.feeds())
    if profile != "onnxruntime":
        options["profile"] = profile
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = onnxlrp.convert(proto, subject.composite, **{**subject.options, **options})
    except OnnxLrpError as error:
        return str(error)
    explained = result.to_proto()
    one = _one_sample(proto, feeds)
    counts = [len(next(iter(part.values()))) for part in (one, feeds, feeds)]
    asked = asked_targets.targets(result.interface, explained, counts)
    fed = asked if options.get("target_input") == "required" else [{}] * len(counts)
    calls = [{**part, **target} for part, target in zip((one, feeds, feeds), fed, strict=True)]
    return _with_answers(subject, profile, (proto, [one, feeds]), (explained, calls), room)


def _with_answers(
    subject: Subject,
    profile: str,
    source: tuple[onnx.ModelProto, list[Any]],
    explained: tuple[onnx.ModelProto, list[Any]],
    room: Path,
) -> Prepared:
    """Save both models and run them in onnxruntime; each comes with the feeds of its calls."""
    job, more = (
        Job(saved(model, room), [Call(f, _tensors(model)) for f in feeds]) for model, feeds in (source, explained)
    )
    source_meant, meant = answers_of_onnxruntime(job), answers_of_onnxruntime(more)
    plain = answers_of_onnxruntime(more, optimised=False)
    return Prepared(subject, profile, job, more, source_meant, meant, verdicts.distance(plain, meant))


def _one_sample(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Take the first sample; all where the file fixes their number."""
    known = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in known]
    fixed = any(dim.dim_value for value in inputs for dim in value.type.tensor_type.shape.dim[:1])
    return feeds if fixed else {name: array[:1] for name, array in feeds.items()}


def _tensors(model: onnx.ModelProto) -> list[str]:
    """List the outputs that are tensors: a map of ZipMap is none."""
    return [value.name for value in model.graph.output if value.type.WhichOneof("value") in (None, "tensor_type")]


def saved(model: onnx.ModelProto, room: Path) -> Path:
    """Write a file under the name of its content, so that equal ones are one."""
    content = model.SerializeToString(deterministic=True)
    path = room / f"{hashlib.sha256(content).hexdigest()[:16]}.onnx"
    if not path.exists():
        path.write_bytes(content)
    return path


def answers_of_onnxruntime(job: Job, optimised: bool = True) -> Answer:
    """Run the calls of a job in onnxruntime, in this process."""
    run = by_onnxruntime(str(job.model), optimised)
    return Answer([dict(zip(call.fetch, run(call.feeds, call.fetch), strict=True)) for call in job.calls])


def measure(
    prepared: Sequence[Prepared], engines: Sequence[Engine], packages: Path, room: Path, limit: float, tell: Tell
) -> list[Row]:
    """Run every prepared subject in every runtime; a source that several subjects share runs once in each."""
    rows = [Row(one.subject, one.profile, one.noise) for one in prepared]
    for engine in engines:
        start = time.monotonic()
        small = [one for one in prepared if _is_given(one, engine)]
        sources = {one.source.model: one for one in small}
        todo = [one.source for one in sources.values()] + [one.explained for one in small]
        answers = jobs.run(room / engine.name, todo, engine.start(packages), limit)
        of_source = dict(zip(sources, answers, strict=False))
        for one, found in zip(small, answers[len(sources) :], strict=True):
            row = rows[prepared.index(one)]
            row.verdicts[engine.name] = verdicts.judge(of_source[one.source.model], one.source_meant, found, one.meant)
        seconds = time.monotonic() - start
        tell(f"{engine.title} {engine.version()}: {counted(rows, engine.name)} ({seconds:.0f} s)")
    return rows


def _is_given(one: Prepared, engine: Engine) -> bool:
    if engine.composites is not None and one.subject.composite not in engine.composites:
        return False
    return one.explained.model.stat().st_size <= engine.largest


def counted(rows: Sequence[Row], name: str) -> str:
    """Count the verdicts of a runtime."""
    words = [row.verdicts[name].word for row in rows if name in row.verdicts]
    return ", ".join(f"{words.count(word)} {word}" for word in verdicts.WORDS if word in words)


def named(names: Sequence[str] | None) -> list[Engine]:
    """Return the runtimes of these names, in the table's order; all if none is given."""
    return [engine for engine in ENGINES if not names or engine.name in names]
