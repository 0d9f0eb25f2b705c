"""Measures how fast one actor of Ray explains rows, next to `Explainer.map` in one process, on the same threads.

    python -m tools.scale [--rows 200000] [--batch 1024] [--runs 3] [--write]

Both take the same rows in the same batches, on one thread of onnxruntime, and make the table of results:
`Explainer.map` writes a Parquet file, the actor returns tables to Ray. The figure is processor time of the process that
explains, without the start of Ray and of the first session; runs alternate. `--write` puts the result into
tools/scale/results.md. It needs the extras `ray` and `parquet`.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import logging
import os
import platform
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import onnxlrp
from onnxlrp.integrations.ray import Explain

COLUMNS = 20
PAGE = Path(__file__).with_name("results.md")


def network() -> onnx.ModelProto:
    """Build a network of three layers on a table of 20 columns, with two classes."""
    random, sizes = np.random.default_rng(0), (COLUMNS, 128, 64, 2)
    nodes, weights, value = [], [], "x"
    for index, (rows, columns) in enumerate(itertools.pairwise(sizes)):
        weight = (random.normal(size=(rows, columns)) / np.sqrt(rows)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{index}"))
        is_last = index == len(sizes) - 2
        nodes.append(helper.make_node("MatMul", [value, f"w{index}"], ["scores" if is_last else f"h{index}"]))
        if not is_last:
            nodes.append(helper.make_node("Relu", [f"h{index}"], [f"r{index}"]))
        value = f"r{index}"
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", COLUMNS])
    y = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", sizes[-1]])
    graph = helper.make_graph(nodes, "table", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def table(rows: int) -> dict[str, np.ndarray]:
    """Draw the rows."""
    values = np.random.default_rng(1).normal(size=(rows, COLUMNS)).astype(np.float32)
    return {"customer": np.arange(rows), **{f"c{index}": values[:, index] for index in range(COLUMNS)}}


def by_map(model: Path, rows: dict[str, np.ndarray], batch: int, folder: Path) -> float:
    """Rows a second of `Explainer.map` with a Parquet file."""
    explainer = onnxlrp.Explainer(model, providers=["CPUExecutionProvider"], threads=1)
    explainer({name: column[:batch] for name, column in rows.items()}, ids="customer")
    start = time.process_time()
    explainer.map(rows, batch, to=folder / "rows.parquet", ids="customer")
    seconds = time.process_time() - start
    (folder / "rows.parquet").unlink()
    return len(rows["customer"]) / seconds


def by_iteration(model: Path, rows: dict[str, np.ndarray], batch: int) -> float:
    """Rows a second of `Explainer.map` without a file, whose explanations are dropped."""
    explainer = onnxlrp.Explainer(model, providers=["CPUExecutionProvider"], threads=1)
    start = time.process_time()
    for _ in explainer.map(rows, batch, ids="customer"):
        pass
    return len(rows["customer"]) / (time.process_time() - start)


def by_ray(ray: Any, model: Path, rows: dict[str, np.ndarray], batch: int, folder: Path) -> float:
    """Rows a second of one actor: those after its first batch, by its own processor time."""
    import pyarrow

    log = folder / "calls.jsonl"

    class Timed(Explain):
        def __call__(self, given: Any) -> Any:
            found = super().__call__(given)
            with log.open("a") as file:
                file.write(json.dumps([time.process_time(), found.num_rows]) + "\n")
            return found

    data = ray.data.from_arrow(pyarrow.table(rows)).repartition(16)
    how = {"model": str(model), "ids": "customer"}
    pool = ray.data.ActorPoolStrategy(size=1)
    done = data.map_batches(Timed, fn_constructor_kwargs=how, batch_size=batch, compute=pool, num_cpus=1).materialize()
    assert done.count() == len(rows["customer"])
    calls = [json.loads(line) for line in log.read_text().splitlines()]
    log.unlink()
    return float(sum(count for _, count in calls[1:]) / (calls[-1][0] - calls[0][0]))


def measure(rows: int, batch: int, runs: int) -> tuple[list[float], list[float], list[float]]:
    """Rows a second of all three, run by run."""
    import ray

    ray.init(num_cpus=4, include_dashboard=False, logging_level=logging.ERROR, object_store_memory=500 << 20)
    ray.data.DataContext.get_current().enable_progress_bars = False
    found: tuple[list[float], list[float], list[float]] = ([], [], [])
    with tempfile.TemporaryDirectory() as name:
        folder, data = Path(name), table(rows)
        onnxlrp.convert(network(), "epsilon").save(folder / "table.lrp.onnx")
        for _ in range(runs):
            found[0].append(by_map(folder / "table.lrp.onnx", data, batch, folder))
            found[1].append(by_ray(ray, folder / "table.lrp.onnx", data, batch, folder))
            found[2].append(by_iteration(folder / "table.lrp.onnx", data, batch))
            print(f"map {found[0][-1]:,.0f}   actor {found[1][-1]:,.0f}   {found[1][-1] / found[0][-1]:.2f}")
    ray.shutdown()
    return found


def page(rows: int, batch: int, found: tuple[list[float], list[float], list[float]]) -> str:
    """Write the result as a page."""
    import pyarrow
    import ray

    ratio = statistics.median(actor / alone for alone, actor in zip(*found[:2], strict=True))
    versions = f"ray {ray.__version__}, pyarrow {pyarrow.__version__}, {platform.machine()}, {os.cpu_count()} cores"
    names = ('`Explainer.map(..., to="rows.parquet")`', "one actor", "`Explainer.map` without a table")
    speeds = [", ".join(f"{value:,.0f}" for value in values) for values in found]
    return f"""# One actor of Ray next to `Explainer.map`

`python -m tools.scale`, {datetime.date.today()}, {versions}.

{rows:,} rows of {COLUMNS} columns, a network of three layers, batches of {batch}, one thread of onnxruntime; rows a
second of processor time.

| | rows a second, run by run |
|---|---|
| {names[0]} | {speeds[0]} |
| {names[1]} | {speeds[1]} |
| {names[2]} | {speeds[2]} |

The actor has {ratio:.2f} of the throughput of `Explainer.map` that makes the same table (median of the runs' ratios),
which also writes the file, while Ray's own tasks write what an actor returns.
The network is small on purpose, so that most of the time is the table's; a larger model leaves less to tell apart.
"""


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    found = measure(asked.rows, asked.batch, asked.runs)
    text = page(asked.rows, asked.batch, found)
    print(text)
    if asked.write:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
