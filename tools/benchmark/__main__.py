"""Benchmark: runs every row in a process of its own, then writes one table and one plot. See README.md beside this
file."""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from tools.benchmark import against, models, plot, table
from tools.benchmark.environment import ROOT
from tools.benchmark.peers import PEERS
from tools.benchmark.row import Options, place
from tools.benchmark.timing import CLOCKS

BATCHES = {"cpu": [1, 8], "cuda": [1, 32]}


def main(given: list[str] | None = None) -> int:
    """Measure the rows that are not measured yet; return 1 if a row failed."""
    arguments = parser().parse_args(given)
    options = _options(arguments)
    console = Console(highlight=False)
    if problem := _cannot(options, arguments.against):
        console.print(problem)
        return 2
    wanted = list(rows(arguments))
    if arguments.against is not None:
        return against.main(wanted, arguments.against, options, arguments.again, console)
    failed = 0
    for index, (name, batch, composite) in enumerate(wanted, 1):
        path = place(name, batch, composite, options)
        title = f"[{index}/{len(wanted)}] {name}, batch {batch}, {composite}"
        if path.exists() and not arguments.again:
            console.print(f"{title}: kept", markup=False)
            continue
        console.print(title, markup=False)
        failed += not _run(name, batch, composite, options, console)
        write(Path(options.folder), options)  # an interrupted run leaves a table as well
    written = write(Path(options.folder), options)
    console.print(*(str(path) for path in written), sep="\n")
    return int(failed > 0)


def parser() -> argparse.ArgumentParser:
    """Make the parser of the command line."""
    made = argparse.ArgumentParser("python -m tools.benchmark", description=__doc__)
    made.add_argument("models", nargs="*", default=list(models.MODELS), metavar="MODEL", help=_MODELS)
    made.add_argument("--batch", type=int, nargs="+", help="default: 1 and 8, on a GPU 1 and 32")
    made.add_argument("--composites", nargs="+", help="default: those of the model")
    made.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    made.add_argument("--rounds", type=int, default=Options.rounds, help="in each of them every program has its turn")
    made.add_argument("--threads", type=int, default=Options.threads, help="of onnxruntime and of torch")
    made.add_argument("--clock", choices=list(CLOCKS), default=Options.clock, help="processor: needs --threads 1")
    made.add_argument("--pause", type=float, default=Options.pause, help="seconds between programs")
    made.add_argument("--provider", choices=list(BATCHES), default="cpu")
    made.add_argument("--precision", choices=["float32", "tf32", "float16"], default="float32")
    made.add_argument("--static", action="store_true", help="models of a fixed batch; always so on a GPU")
    made.add_argument("--bound", action="store_true", help="bind inputs and outputs; always so on a GPU")
    made.add_argument("--folder", default=Options.folder, help="where rows, table and plot go")
    made.add_argument("--against", metavar="REVISION", help="time what this revision emits and what the tree emits")
    made.add_argument("--again", action="store_true", help="measure anew what is there already")
    return made


_MODELS = f"of {', '.join(models.MODELS)}; or a classifier of torchvision by its name, or an ONNX file of one input"


def rows(arguments: argparse.Namespace) -> Iterator[tuple[str, int, str]]:
    """Yield model, batch and composite of every row."""
    for given in arguments.models:
        name = str(Path(given).resolve()) if given.endswith(".onnx") else given
        for batch in arguments.batch or BATCHES[arguments.provider]:
            for composite in arguments.composites or models.find(name).composites:
                yield name, batch, composite


def write(folder: Path, options: Options) -> list[Path]:
    """Write table and plot of all measured rows of this setting."""
    found = table.read(folder / "rows", options.setting)
    if not found:
        return []
    written = [folder / f"{options.setting}.md", folder / f"{options.setting}.json"]
    written[0].write_text(table.markdown(found))
    written[1].write_text(json.dumps(found, indent=1))
    if plot.available():
        written.append(folder / f"{options.setting}.png")
        plot.draw(found, written[-1])
    return written


def _options(arguments: argparse.Namespace) -> Options:
    on_gpu = arguments.provider == "cuda"
    given = {field.name: getattr(arguments, field.name) for field in dataclasses.fields(Options)}
    given |= {"peers": tuple(arguments.peers), "folder": str(Path(arguments.folder).resolve())}
    return Options(**{**given, "static": arguments.static or on_gpu, "bound": arguments.bound or on_gpu})


def _cannot(options: Options, revision: str | None) -> str | None:
    """Say why this machine cannot measure; None if it can."""
    from onnxlrp.runtime.providers import cuda_present

    if options.provider == "cuda" and not cuda_present():
        return "no CUDA here: onnxruntime-gpu and a driver that sees a device are needed"
    if revision is not None and options.provider != "cpu":
        return "--against measures processor time: --provider cpu"
    if options.clock == "processor" and (options.threads != 1 or options.provider != "cpu"):
        return "--clock processor measures one thread of the CPU: --threads 1 --provider cpu"
    if options.provider == "cpu" and options.precision == "tf32":
        return "TF32 is an arithmetic of NVIDIA's GPUs: --provider cuda"
    return None


def _run(name: str, batch: int, composite: str, options: Options, console: Console) -> bool:
    given = json.dumps(dataclasses.asdict(options))
    command = [sys.executable, "-m", "tools.benchmark.row", name, str(batch), composite, given]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        console.print("\n".join(done.stderr.splitlines()[-6:]), markup=False)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
