"""Memory and time of relevance in slices: `python -m tools.benchmark.low_memory` writes results/low-memory.md.

For each network, its source, its explained model and the one of `memory="low"` run a batch of 32 samples. Memory is the
most that a process grows by, from before its session is created until it has run three times, measured in a process
each (`tools.benchmark.memory`); time is processor time of one thread, by turns. It takes a quarter of an hour on one
core and 6 GB, and needs the packages of tools/peers.txt. Names of models are its arguments.
"""

from __future__ import annotations

import datetime
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
import onnxruntime

import onnxlrp
from tools.benchmark import memory, models, sessions
from tools.benchmark.timing import in_turns, ratio, ratios

RESULTS = Path(__file__).parent / "results" / "low-memory.md"
NETWORKS = ("resnet50", "mobilenet_v2", "densenet121", "vit_b_16")
WAYS = ("source", "explained", "low")
BATCH, ROUNDS = 32, 3


def main(names: Sequence[str]) -> None:
    """Measure the networks, and write the page if they are all."""
    rows = []
    for name in names or NETWORKS:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(_row(name, Path(folder)))
        print(rows[-1], flush=True)
    if not names:
        RESULTS.write_text(_page(rows))


def _row(name: str, folder: Path) -> str:
    files = {way: folder / f"{way}.onnx" for way in WAYS}
    network = models.find(name)
    x = network.sample(BATCH)
    models.export(models.build(network), x[:1], files["source"], static=False)
    onnxlrp.convert(files["source"], "epsilon").save(files["explained"])
    low = onnxlrp.convert(files["source"], "epsilon", memory="low")
    low.save(files["low"])
    held = {way: memory.measure(path, x, folder, "cpu", 1)["peak"] for way, path in files.items()}
    found = {way: sessions.create(path, "cpu", 1) for way, path in files.items()}
    runs = {way: sessions.plain(one, sessions.feed(one, x)) for way, one in found.items()}
    outputs = {way: run() for way, run in runs.items()}
    seconds = in_turns(runs, ROUNDS, time.process_time)
    spread = ratios(seconds["low"], seconds["explained"])
    cells = [
        network.title, " / ".join(f"{held[way] / 1e6:,.0f}" for way in WAYS),
        *(f"{held[way] / held['source']:.2f}" for way in WAYS[1:]),
        *(f"{ratio(seconds[way], seconds['source']):.2f}" for way in WAYS[1:]),
        f"{median(spread):.2f} ({min(spread):.2f} to {max(spread):.2f})", f"{_difference(outputs):.0e}",
        "twice" if "after the model" in low.notes[-1] else "once",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _difference(outputs: dict[str, dict[str, np.ndarray]]) -> float:
    """Measure the largest difference of relevance, by the largest relevance."""
    names = outputs["low"].keys() - outputs["source"].keys()
    pairs = [(outputs["low"][name], outputs["explained"][name]) for name in names]
    return max(float(np.abs(low - whole).max() / np.abs(whole).max()) for low, whole in pairs)


def _page(rows: Sequence[str]) -> str:
    return "\n".join([
        "# Memory of a large batch",
        "",
        f"`python -m tools.benchmark.low_memory`, {datetime.date.today()}, onnxlrp {onnxlrp.__version__}, onnxruntime "
        f"{onnxruntime.__version__}, ε, a batch of {BATCH}, one thread.",
        "",
        "Memory is the growth of a process in MB, weights included, for source / explained / `memory=\"low\"`. "
        "Times are processor time, medians of rounds; in brackets the least and the largest ratio. "
        "The difference is the largest one of relevance, by the largest relevance. "
        "The last column says how often a forward pass is computed.",
        "",
        "| network | memory, MB | explained / source | low / source | time: explained / source | low / source | "
        "low / explained | difference | forward pass |",
        "|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1:])
