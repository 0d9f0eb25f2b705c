"""Costs of relevance on demand: `python -m tools.benchmark.on_demand` writes results/on-demand.md.

For each model, its source, its explained model and the one with the switch `explain` are timed in turns, in processor
time of one thread; memory is measured in processes of their own (`tools.benchmark.memory`). It takes ten minutes on one
core, and needs the packages of tools/peers.txt, skl2onnx and scikit-learn. Names of models are its arguments.
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime

import onnxlrp
from tools.benchmark import memory, models, sessions
from tools.benchmark.environment import ROOT
from tools.benchmark.timing import in_turns, ratio

RESULTS = Path(__file__).parent / "results" / "on-demand.md"
ROUNDS, SESSIONS = 5, 3
WAYS = ("source", "explained", "off", "on")
"""The programs that take turns; off and on are one file."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model of the table."""

    title: str
    build: Callable[[Path], np.ndarray]
    """Function that writes the model to a file, and returns its input."""


def _network(name: str) -> Callable[[Path], np.ndarray]:
    def build(path: Path) -> np.ndarray:
        network = models.find(name)
        x = network.sample(1)
        models.export(models.build(network), x, path, static=False)
        return x

    return build


def _quantised(path: Path) -> np.ndarray:
    """Write a ResNet-18 whose weights and activations onnxruntime's tool rounds to eight bits."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Pictures(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(np.split(models.find("resnet18").sample(4), 4))

        def get_next(self) -> Any:
            x = next(self.left, None)
            return None if x is None else {"x": x}

    x = _network("resnet18")(path)
    prepared = path.with_suffix(".prepared.onnx")
    quant_pre_process(path, prepared)
    types = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quantize_static(prepared, path, Pictures(), per_channel=True, **types)
    return x


def _forest(rows: int) -> Callable[[Path], np.ndarray]:
    def build(path: Path) -> np.ndarray:
        """Write a forest of 100 trees of depth 8 over 20 columns."""
        from skl2onnx import to_onnx
        from sklearn.ensemble import RandomForestClassifier

        rng = np.random.default_rng(0)
        x = rng.normal(size=(2000, 20)).astype(np.float32)
        labels = (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(int)
        fitted = RandomForestClassifier(100, max_depth=8, random_state=0).fit(x, labels)
        path.write_bytes(to_onnx(fitted, x[:1], options={"zipmap": False}).SerializeToString())
        return x[:rows]

    return build


SUBJECTS = {
    "resnet50": Subject("ResNet-50", _network("resnet50")),
    "mobilenet_v2": Subject("MobileNetV2", _network("mobilenet_v2")),
    "vit_b_16": Subject("ViT-B/16", _network("vit_b_16")),
    "bert": Subject("BERT-base", _network("bert")),
    "lstm": Subject("bidirectional LSTM", _network("lstm")),
    "resnet18_int8": Subject("ResNet-18, int8", _quantised),
    "forest": Subject("forest of 100 trees, 1,000 rows", _forest(1000)),
    "forest_of_a_row": Subject("forest of 100 trees, 1 row", _forest(1)),
}


def main(names: Sequence[str]) -> None:
    """Measure the models, and write the page if they are all."""
    rows = []
    for name in names or SUBJECTS:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(_row(SUBJECTS[name], Path(folder)))
        print(rows[-1], flush=True)
    if not names:
        RESULTS.write_text(_page(rows))


def _row(subject: Subject, folder: Path) -> str:
    source, plain, switched = (folder / f"{name}.onnx" for name in ("source", "explained", "switched"))
    x = subject.build(source)
    onnxlrp.convert(source, "epsilon").save(plain)
    onnxlrp.convert(source, "epsilon", on_demand=True).save(switched)
    files = {"source": source, "explained": plain, "off": switched, "on": switched}
    found = {way: sessions.create(path, "cpu", 1) for way, path in files.items()}
    runs = {way: sessions.plain(found[way], _feeds(found[way], x, way)) for way in WAYS}
    equal = _equal({way: runs[way]() for way in WAYS})
    seconds = in_turns(runs, ROUNDS, time.process_time)
    del found, runs
    created = _created(files, SESSIONS)
    held = {way: _held(files[way], x, folder, way) for way in WAYS}

    def over(values: Mapping[str, Sequence[float]], one: str, other: str) -> str:
        return f"{ratio(values[one], values[other]):.2f}"

    def megabytes(kind: str) -> str:
        return " / ".join(f"{held[way][kind] / 1e6:.0f}" for way in WAYS)

    growth = {way: held[way]["growth"] for way in WAYS}
    cells = [
        subject.title, f"{median(seconds['source']) * 1e3:.2f}", over(seconds, "off", "source"),
        over(seconds, "on", "explained"), f"{growth['off'] / growth['source']:.2f}", megabytes("growth"),
        megabytes("peak"), over(created, "on", "explained"), equal,
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _feeds(session: Any, x: np.ndarray, way: str) -> dict[str, np.ndarray]:
    switch = {"off": {"explain": np.array([False])}, "on": {"explain": np.array([True])}}
    return {**sessions.feed(session, x), **switch.get(way, {})}


def _equal(outputs: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """Compare off with the source, and on with the explained model, bit for bit."""
    off = all(np.array_equal(outputs["off"][name], value) for name, value in outputs["source"].items())
    on = all(np.array_equal(outputs["on"][name], value) for name, value in outputs["explained"].items())
    return f"{'yes' if off else 'no'}, {'yes' if on else 'no'}"


def _created(files: Mapping[str, Path], rounds: int) -> dict[str, list[float]]:
    """Measure the processor seconds that a session takes to be created, in processes of their own, in turns."""
    seconds: dict[str, list[float]] = {"explained": [], "on": []}
    for _ in range(rounds):
        for way, times in seconds.items():
            times.append(float(_in_a_process("create", files[way])))
    return seconds


def _held(path: Path, x: np.ndarray, folder: Path, way: str) -> dict[str, float]:
    """Measure the growth of a run over the session, and the peak of a process over its start, in bytes."""
    given = folder / "x.npy"
    np.save(given, x)
    return {kind: float(_in_a_process(kind, path, given, way)) for kind in ("growth", "peak")}


def _in_a_process(*arguments: object) -> str:
    command = [sys.executable, "-m", "tools.benchmark.on_demand", *map(str, arguments)]
    # With large blocks mapped one by one, memory that is freed returns to the system at once.
    settings = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"} if arguments[0] == "growth" else None
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]


def _create(path: str) -> None:
    started = time.process_time()
    sessions.create(Path(path), "cpu", 1)
    print(time.process_time() - started)


def _growth(path: str, given: str, way: str) -> None:
    """Print the most bytes that a run takes above the session, which holds no free memory: it has no arena."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    options.enable_mem_pattern = options.enable_cpu_mem_arena = False
    x, session = np.load(given), onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    memory.trim()
    ready = memory.resident()
    memory.forget_peak()
    sessions.plain(session, _feeds(session, x, way))()
    print(memory.peak() - ready)


def _peak(path: str, given: str, way: str) -> None:
    """Print the most bytes of the process above its start, session and runs together."""
    x, before = np.load(given), memory.resident()
    session = sessions.create(Path(path), "cpu", 1)
    for _ in range(memory.RUNS):
        sessions.plain(session, _feeds(session, x, way))()
    print(memory.peak() - before)


def _page(rows: Sequence[str]) -> str:
    return f"""# Relevance on demand

`python -m tools.benchmark.on_demand`, {datetime.date.today():%Y-%m-%d}, onnxruntime {onnxruntime.__version__}, one \
thread, composite epsilon. Files
of `convert(on_demand=True)` against their source and against the explained model without the switch. Times are \
processor time, medians of
{ROUNDS} rounds in which all take turns; sessions are created {SESSIONS} times in processes of their own.

| model | source ms | off / source | on / explained | growth of a run, off / source | growth MB | peak MB \
| session, with / without switch | bit-equal: off to source, on to explained |
|---|--:|--:|--:|--:|---|---|--:|---|
{chr(10).join(rows)}

*Growth* is the most memory that a run takes above the session that was created, without an arena, which would hold \
free memory: that of its
activations. *Peak* is that of the whole process above its start, with the weights that a session folds and lays out \
again when it is created: the
file with the switch has two forward passes, each with its own. Both are source / explained / off / on.
"""


PARTS: dict[str, Callable[..., None]] = {"create": _create, "growth": _growth, "peak": _peak}

if __name__ == "__main__":
    part, *rest = sys.argv[1:] or [""]
    PARTS[part](*rest) if part in PARTS else main(sys.argv[1:])
