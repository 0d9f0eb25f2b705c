"""Row of the table: measures a model, a batch and a composite in this process.

    python -m tools.benchmark.row resnet50 1 epsilon '{"rounds": 3}'

writes it as JSON to its file (`place`). Each row has a process of its own, so that it starts with clean memory, and
because LXT's patches affect a whole process.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import onnxlrp
from tools.benchmark import environment, memory, models, peers, sessions
from tools.benchmark.models import Model
from tools.benchmark.timing import CLOCKS, PAUSE, Program, in_turns, interleaved


@dataclasses.dataclass(frozen=True)
class Options:
    """Settings of all measurements."""

    folder: str = "build/benchmark"
    provider: str = "cpu"
    precision: str = "float32"
    """"float32", "tf32" or "float16"."""
    static: bool = False
    """True if models are exported for one batch size only."""
    bound: bool = False
    """True if inputs and outputs are bound to the device, as always on a GPU."""
    rounds: int = 7
    threads: int = 2
    clock: str = "wall"
    """"wall", or "processor": the time of one thread, which other work on the machine changes little."""
    pause: float = PAUSE
    peers: tuple[str, ...] = tuple(peers.PEERS)

    @property
    def setting(self) -> str:
        """Name of the settings that share one table: the end of its rows' names."""
        fixed = "-static" if self.static and self.provider == "cpu" else ""
        clock = "" if self.clock == "wall" else f"-{self.clock}"
        return f"{self.provider}-{self.precision}{fixed}{clock}"

    @property
    def half(self) -> bool:
        return self.precision == "float16"

    @property
    def tf32(self) -> bool:
        return self.precision == "tf32"


def place(name: str, batch: int, composite: str, options: Options) -> Path:
    """Return the path of a row's file."""
    parts = [Path(name).stem, f"b{batch}", composite.partition("(")[0], options.setting]
    return Path(options.folder) / "rows" / ("-".join(parts) + ".json")


@dataclasses.dataclass
class _Subject:
    """Source and explained model as files, with their input."""

    model: Model
    weights: Any
    source: Path
    explained: Path
    relevance: str
    """Name of the relevance output."""
    own: set[str]
    """Names of the source's own nodes in the explained model."""
    x: np.ndarray
    conversion: float
    """Seconds that the conversion took."""


def measure(model: Model, name: str, batch: int, composite: str, options: Options) -> dict[str, Any]:
    """Measure everything that the table shows of a row."""
    with tempfile.TemporaryDirectory() as folder:
        subject = _prepare(model, name, batch, composite, options, Path(folder))
        row: dict[str, Any] = {
            "name": name,
            "model": model.title,
            "batch": batch,
            "composite": composite,
            "options": dataclasses.asdict(options),
            "environment": environment.describe(options.provider),
            "conversion": subject.conversion,
            "bytes": {"source": subject.source.stat().st_size, "explained": subject.explained.stat().st_size},
        }
        files = {"source": subject.source, "explained": subject.explained}
        row["memory"] = {
            key: memory.measure(path, subject.x, Path(folder), options.provider, options.threads)
            for key, path in files.items()
        }
        programs, row["sessions"], notes = _ours(files, subject.x, options)
        outputs = programs["explained"][1]()
        row["notes"] = notes
        if options.provider == "cuda":
            wrong = sessions.off_device(subject.explained, "cuda", options.threads, subject.x, subject.own)
            row["off_device"] = wrong
        target = outputs[next(iter(outputs))].argmax(-1).reshape(-1)
        task = peers.Task(
            model,
            subject.weights,
            composite,
            subject.x,
            target,
            "float16" if options.half else "float32",
            _device(options),
        )
        theirs, row["missing"], row["differences"] = _peers(task, outputs[subject.relevance], options)
        runs = {key: program[0] for key, program in programs.items()} | theirs
        row["seconds"] = _timed(runs, options)
    return row


def _timed(runs: Mapping[str, Program], options: Options) -> dict[str, list[float]]:
    """Measure the seconds of each program in every round, by the clock that the options name."""
    if options.clock == "wall":
        return interleaved(runs, options.rounds, options.pause)
    return in_turns(runs, options.rounds, CLOCKS[options.clock])


def _prepare(model: Model, name: str, batch: int, composite: str, options: Options, folder: Path) -> _Subject:
    """Build, export and convert; the network and its export are kept for the next row."""
    x = model.sample(batch)
    source, weights = source_file(model, name, x, options)
    started = time.perf_counter()
    converted = onnxlrp.convert(source, composite, precision="model" if options.half else "float32")
    explained = folder / "explained.onnx"
    converted.save(explained)
    conversion = time.perf_counter() - started
    (relevance,) = converted.interface.relevance.values()
    nodes = onnx.load(explained, load_external_data=False).graph.node
    own = {node.name for node in nodes if all(p.key != "onnxlrp.rule" for p in node.metadata_props)}
    return _Subject(model, weights, source, explained, relevance, own, x, conversion)


def source_file(model: Model, name: str, x: np.ndarray, options: Options) -> tuple[Path, Any]:
    """Return the file of a model and its torch weights (None for a model that is a file), exporting it if it does not
    exist."""
    if model.file is not None:
        return model.file, None
    import torch

    folder = Path(options.folder) / "models"
    folder.mkdir(parents=True, exist_ok=True)
    shape = f"-b{len(x)}" if options.static else ""
    path, state = folder / f"{name}{shape}-{'half' if options.half else 'float'}.onnx", folder / f"{name}.pt"
    if not state.exists():
        torch.save(models.build(model).state_dict(), state)
    weights = torch.load(state)
    if not path.exists():
        partial = path.with_suffix(".partial.onnx")
        network = peers.Task(model, weights, "", x).network()
        models.export(network, x if options.static else x[:1], partial, options.static)
        if options.half:
            models.to_half(partial)
        partial.rename(path)
    return path, weights


def _ours(
    files: Mapping[str, Path], x: np.ndarray, options: Options
) -> tuple[dict[str, tuple[Program, sessions.Run]], dict[str, float], list[str]]:
    """Prepare for each file a program to time and one that reads the outputs; return seconds per session, and notes."""
    programs: dict[str, tuple[Program, sessions.Run]] = {}
    seconds, notes = {}, []
    if options.provider == "cuda":
        sessions.create(files["source"], "cuda", options.threads)  # the first session starts CUDA itself
    for key, path in files.items():
        started = time.perf_counter()
        session = sessions.create(path, options.provider, options.threads, tf32=options.tf32)
        seconds[key] = time.perf_counter() - started
        if options.provider == "cuda":
            del session
            bound, note = sessions.with_graph(path, options.threads, options.tf32, x)
            notes.append(f"{key}: {note}")
            programs[key] = (bound, bound.read)
        elif options.bound:
            bound = sessions.Bound(session, sessions.feed(session, x), "cpu")
            programs[key] = (bound, bound.read)
        else:
            run = sessions.plain(session, sessions.feed(session, x))
            programs[key] = (run, run)
    return programs, seconds, notes


def _peers(
    task: peers.Task, ours: np.ndarray, options: Options
) -> tuple[dict[str, Program], dict[str, str], dict[str, dict[str, float | None]]]:
    """Prepare the program of each peer, or its reason for having none, and measure how its relevance differs from ours.

    Differences are those of the first sample.
    """
    programs: dict[str, Program] = {}
    missing: dict[str, str] = {}
    differences: dict[str, dict[str, float | None]] = {}
    if task.model.build is None:
        return programs, missing, differences
    _prepare_torch(options)
    for name in options.peers:
        try:
            truth = _array(peers.PEERS[name](peers.in_double(task))())
            run = peers.PEERS[name](dataclasses.replace(task, target=None))
            theirs = _array(run())[:1]
        except Exception as error:  # a peer may raise anything
            said = str(error).strip() or type(error).__name__
            missing[name] = said.splitlines()[0].partition(". ")[0][:200]
            continue
        programs[name] = _synchronised(run, options)
        differences[name] = {
            "ours": _distance(ours[:1], theirs),
            "ours from float64": _distance(ours[:1], truth),
            "theirs from float64": _distance(theirs, truth),
        }
    return programs, missing, differences


def _prepare_torch(options: Options) -> None:
    import torch

    torch.set_num_threads(options.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options.tf32


def _synchronised(run: Program, options: Options) -> Program:
    """Make a run that ends when the device has finished."""
    if options.provider != "cuda":
        return run
    import torch

    def synchronised() -> None:
        run()
        torch.cuda.synchronize()

    return synchronised


def _device(options: Options) -> str:
    return "cuda" if options.provider == "cuda" else "cpu"


def _array(relevance: Any) -> np.ndarray:
    return relevance.detach().cpu().double().numpy()


def _distance(a: np.ndarray, b: np.ndarray) -> float | None:
    """Largest difference of an entry, relative to the largest entry; None if either overflows."""
    share = float(np.abs(a.astype(np.float64) - b).max() / np.abs(b).max())
    return share if np.isfinite(share) else None


def main(name: str, batch: str, composite: str, given: str) -> None:
    options = Options(**json.loads(given))
    path = place(name, int(batch), composite, options)
    row = measure(models.find(name), name, int(batch), composite, options)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(row, indent=1))
    partial.rename(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
