"""Costs of the methods beside LRP: `python -m tools.benchmark.methods` writes results/methods.md (minutes, one core).

It measures processor time of one thread; all programs of a network take turns in every round. EfficientNet-Lite0 is in
the repository; the others are torchvision's, with random weights, and need the packages of tools/peers.txt.
"""

from __future__ import annotations

import datetime
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime

import onnxlrp
from tools.benchmark import models
from tools.benchmark.environment import ROOT
from tools.benchmark.timing import in_turns, ratio

RESULTS = Path(__file__).parent / "results" / "methods.md"
NETWORKS = (
    str(ROOT / "models" / "efficientnet_lite0" / "efficientnet_lite0.onnx"),
    "resnet18",
    "squeezenet1_1",
)
COMPOSITES = ("epsilon", "gradient", "deep_lift", "grad_cam", "layer_cam", "integrated_gradients(steps=32)")
ROUNDS = 3


def main() -> None:
    """Measure every network, and write the page."""
    rows = []
    for name in NETWORKS:
        rows.append(_row(name))
        print(rows[-1], flush=True)
    RESULTS.write_text(_page(rows))


def _row(name: str) -> str:
    network = models.find(name)
    x = network.sample(1)
    source = model_bytes(network, x)
    programs = {"source": program(source, x)}
    for composite in COMPOSITES:
        explained = onnxlrp.convert(source, composite).to_proto()
        programs[composite] = program(explained.SerializeToString(), x)
    seconds = in_turns(programs, ROUNDS, time.process_time)

    def times_as_long(over: str, under: str, count: int = 1) -> str:
        return f"{ratio(seconds[over], seconds[under]) / count:.2f}"

    forward = statistics.median(seconds["source"]) * 1e3
    cells = [network.title, f"{forward:.1f}", *(times_as_long(c, "source") for c in COMPOSITES)]
    cells += [times_as_long("deep_lift", "epsilon")]
    cells += [times_as_long("integrated_gradients(steps=32)", "gradient", 32)]
    return f"| {' | '.join(cells)} |"


def model_bytes(network: models.Model, x: np.ndarray) -> bytes:
    """Return the ONNX file of a network, exported for an input where it is a torch module."""
    if network.file is not None:
        return network.file.read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        models.export(models.build(network), x, path, static=False)
        return path.read_bytes()


def program(model: bytes, x: np.ndarray) -> Callable[[], object]:
    """Make a function that runs a model on one input by one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {session.get_inputs()[0].name: x}
    return lambda: session.run(None, feeds)


def _page(rows: Sequence[str]) -> str:
    head = ["network", "forward, ms", *(f"`{c}`" for c in COMPOSITES), "`deep_lift` / `epsilon`", "IG / (32 gradients)"]
    lines = [
        "# Costs of the methods beside LRP",
        "",
        f"`python -m tools.benchmark.methods`, {datetime.date.today()}, onnxlrp {onnxlrp.__version__}, onnxruntime "
        f"{onnxruntime.__version__}.",
        f"Processor time of one thread, batch 1, medians of the ratios of {ROUNDS} rounds in which all take turns. The "
        "columns of composites are ratios to the model's forward pass, the last two to another composite. A class "
        "activation map needs the way back from the score to the last convolution alone, a pool and a dense layer.",
        "",
        f"| {' | '.join(head)} |",
        "|" + "---|" * len(head),
        *rows,
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
