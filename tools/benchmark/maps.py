"""Costs of `Explainer.map` over files, next to bare loops: `python -m tools.benchmark.maps` writes results/maps.md.

Pictures and tables are drawn into a temporary folder. All programs of a table take turns in every round, each on one
thread of onnxruntime; processor time is that of the whole process with the threads that read ahead. It takes minutes,
and needs the packages of tools/peers.txt for the network and for .parquet files.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import onnx
import onnxruntime

import onnxlrp
from onnxlrp.errors import ExplanationWarning
from tools.benchmark import map_data, models
from tools.benchmark.bare_loops import BareLoop
from tools.benchmark.methods import model_bytes
from tools.benchmark.timing import ratio
from tools.scale.__main__ import COLUMNS, network
from tools.trees import forests

RESULTS = Path(__file__).parent / "results" / "maps.md"
BATCH, ROWS_AT_ONCE = 16, 256
"""Samples in a batch: pictures, and rows of a table."""
TREES, LEAVES = 30, 31


@dataclasses.dataclass(frozen=True)
class Program:
    """A line of a table: what runs, and the bare loop that does the same work."""

    run: Callable[[], object]
    against: str | None = None
    """Name of that loop in the table; None for a bare loop."""


@dataclasses.dataclass(frozen=True)
class Times:
    """Seconds of each round."""

    processor: list[float] = dataclasses.field(default_factory=list)
    wall: list[float] = dataclasses.field(default_factory=list)


def main(given: Sequence[str] | None = None) -> None:
    """Measure all tables, and write the page."""
    parser = argparse.ArgumentParser(description="Time Explainer.map over files next to bare loops of onnxruntime.")
    parser.add_argument("--network", default="resnet18", help="a network of torchvision, or an ONNX file")
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    asked = parser.parse_args(given)
    warnings.simplefilter("ignore", ExplanationWarning)
    with tempfile.TemporaryDirectory() as name:
        parts = [
            (f"{asked.pictures} pictures", on_pictures(Path(name), asked.network, asked.pictures), asked.pictures),
            (f"{asked.rows:,} rows", on_tables(Path(name), asked.rows), asked.rows),
        ]
        tables = [table(title, programs, in_rounds(programs, asked.rounds), n) for title, programs, n in parts]
    asked.out.write_text(page(tables, asked.network, asked.rounds), encoding="utf-8")


def on_pictures(folder: Path, name: str, count: int) -> dict[str, Program]:
    """Make the programs that explain pictures."""
    found = models.find(name)
    source = folder / "source.onnx"
    source.write_bytes(model_bytes(found, found.sample(1)))
    options = {"whole": {}, "reduced": {"reduce": "channels+grid=14"}, "demand": {"on_demand": True}}
    if min(found.sample(1).shape[2:]) < 14:
        options["reduced"] = {"reduce": "channels"}
    files = {key: folder / f"{key}.lrp.onnx" for key in options}
    for key, file in files.items():
        onnxlrp.convert(source, "epsilon", **options[key]).save(file)
    (folder / "pictures").mkdir()
    (folder / "npz").mkdir()
    paths = map_data.write_pictures(folder / "pictures", count)
    loops = {key: BareLoop(file, BATCH) for key, file in {"source": source, **files}.items() if key != "demand"}
    maps = {key: Mapped(file, folder / "out", BATCH, {"preprocess": "unit"}) for key, file in files.items()}
    return {
        "bare loop, the source": Program(lambda: loops["source"].pictures(paths)),
        "`map(explain=False)`, converted on demand": Program(
            lambda: maps["demand"].dropped(paths, explain=False), "bare loop, the source"
        ),
        "bare loop": Program(lambda: loops["whole"].pictures(paths)),
        "`map`": Program(lambda: maps["whole"].dropped(paths), "bare loop"),
        "`map`, all explanations kept": Program(lambda: list(maps["whole"].batches(paths)), "bare loop"),
        "bare loop with `numpy.savez`": Program(lambda: loops["whole"].pictures(paths, folder / "npz")),
        "`map(to=FOLDER)`": Program(lambda: maps["whole"].stored(paths), "bare loop with `numpy.savez`"),
        "bare loop, reduced": Program(lambda: loops["reduced"].pictures(paths)),
        "`map`, reduced": Program(lambda: maps["reduced"].dropped(paths), "bare loop, reduced"),
        "`map(to=FOLDER)`, reduced": Program(lambda: maps["reduced"].stored(paths), "bare loop, reduced"),
    }


def on_tables(folder: Path, rows: int) -> dict[str, Program]:
    """Make the programs that explain tables."""
    networks = {"network": network(), "forest": forests.as_regressor(forests.grow(TREES, LEAVES))}
    columns = {"network": COLUMNS, "forest": forests.FEATURES}
    programs: dict[str, Program] = {}
    for name, model in networks.items():
        file = folder / f"{name}.lrp.onnx"
        onnx.save(model, folder / f"{name}.onnx")
        onnxlrp.convert(folder / f"{name}.onnx", "epsilon").save(file)
        paths = map_data.write_tables(folder, rows, columns[name])
        loop, mapped = BareLoop(file, ROWS_AT_ONCE), Mapped(file, folder / "out.parquet", None, {})
        for kind in ("parquet", "csv") if name == "network" else ("parquet",):
            programs |= _on_table(f"{name}, .{kind}", loop, mapped, paths[kind])
    return programs


def _on_table(name: str, loop: BareLoop, mapped: Mapped, path: Path) -> dict[str, Program]:
    """Make the programs on one file."""
    out = path.with_name("bare.parquet")
    bare, writing = f"{name}: bare loop", f"{name}: bare loop that writes .parquet"
    return {
        bare: Program(lambda: loop.table(path)),
        f"{name}: `map`": Program(lambda: mapped.dropped(path), bare),
        writing: Program(lambda: loop.table(path, out)),
        f'{name}: `map(to="out.parquet")`': Program(lambda: mapped.stored(path), writing),
    }


class Mapped:
    """`Explainer.map` of one file on one thread."""

    def __init__(self, model: Path, out: Path, batch: int | None, options: Mapping[str, object]) -> None:
        self._explainer = onnxlrp.Explainer(model, providers=["CPUExecutionProvider"], threads=1)
        self._out, self._batch, self._options = out, batch, dict(options)

    def batches(self, values: object, **more: object) -> object:
        """Explain batch by batch."""
        return self._explainer.map(values, self._batch, **self._options, **more)

    def dropped(self, values: object, **more: object) -> None:
        """Explain all, and keep no explanation longer than the next one takes."""
        for _ in self.batches(values, **more):
            pass

    def stored(self, values: object) -> None:
        """Explain all into a folder or file, and remove it."""
        self.batches(values, to=self._out)
        shutil.rmtree(self._out) if self._out.is_dir() else self._out.unlink()


def in_rounds(programs: Mapping[str, Program], rounds: int) -> dict[str, Times]:
    """Run all programs once to warm up, then once a round; the one that began a round ends the next."""
    found = {name: Times() for name in programs}
    for program in programs.values():
        program.run()
    for index in range(rounds):
        for name in list(programs)[:: -1 if index % 2 else 1]:
            processor, wall = time.process_time(), time.perf_counter()
            programs[name].run()
            found[name].processor.append(time.process_time() - processor)
            found[name].wall.append(time.perf_counter() - wall)
    return found


def table(title: str, programs: Mapping[str, Program], found: Mapping[str, Times], samples: int) -> list[str]:
    """Lay out one table in Markdown, and print it."""
    unit, scale = ("ms", 1e3) if samples < 10_000 else ("µs", 1e6)
    head = ["", f"processor, {unit} each", "× bare loop", f"wall, {unit} each", "× bare loop"]
    lines = [f"## {title}", "", f"| {' | '.join(head)} |", "|---|" + "--:|" * 4]
    for name, program in programs.items():
        own, bare = found[name], found.get(program.against or "")
        cells = []
        for clock in ("processor", "wall"):
            seconds = getattr(own, clock)
            cells.append(f"{statistics.median(seconds) / samples * scale:.3g}")
            cells.append("" if bare is None else f"{ratio(seconds, getattr(bare, clock)):.2f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    print("\n".join(lines), flush=True)
    return [*lines, ""]


def page(tables: Sequence[Sequence[str]], name: str, rounds: int) -> str:
    """Write the page."""
    lines = [
        "# Costs of `Explainer.map` over files",
        "",
        f"`python -m tools.benchmark.maps`, {datetime.date.today()}, onnxlrp {onnxlrp.__version__}, onnxruntime "
        f"{onnxruntime.__version__}.",
        f"Medians of {rounds} rounds in which all programs of a table take turns, one thread of onnxruntime each; "
        "processor time is that of the whole process, and a ratio is the median of the rounds' ratios. A bare loop "
        "reads the same files, makes the same batches and calls `InferenceSession.run` of the same explained file, "
        "unless the line says that it is the source. Where wall time is far above processor time, other programs used "
        "the machine, and ratios of wall time scatter by a tenth and more.",
        "",
        f"Pictures are JPEG files of {map_data.WIDTH} × {map_data.HEIGHT} pixels, {models.find(name).title} under ε, "
        f"batches of {BATCH}. Tables are read whole by pandas or pyarrow in the bare loop, and go in batches of "
        f"{ROWS_AT_ONCE} rows: a network of three layers on {COLUMNS} columns under ε, and {TREES} trees of {LEAVES} "
        f"leaves on {forests.FEATURES} columns.",
        "",
        *(line for one in tables for line in one),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
