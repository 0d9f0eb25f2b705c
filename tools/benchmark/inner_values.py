"""Costs of explanations that end at an inner value: `python -m tools.benchmark.inner_values` writes
results/inner_values.md (minutes, one core).

torchvision's networks with random weights; it needs the packages of tools/peers.txt. Processor time of one thread; the
source, the explanation of the picture and those of inner values take turns in every round.
"""

from __future__ import annotations

import datetime
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import onnx
import onnxruntime

import onnxlrp
from tools.benchmark import models
from tools.benchmark.methods import model_bytes, program
from tools.benchmark.timing import in_turns, ratio

RESULTS = Path(__file__).parent / "results" / "inner_values.md"
NETWORKS = ("resnet18", "resnet50")
COMPOSITES = ("epsilon", "epsilon_plus")
STAGES = ("layer4", "layer3", "layer2", "layer1")
"""Stages of a residual network, the last first; the value is what its last activation gives."""
ROUNDS = 5


def main() -> None:
    """Measure every network, and write the page."""
    rows = []
    for name in NETWORKS:
        for composite in COMPOSITES:
            rows.append(_row(name, composite))
            print(rows[-1], flush=True)
    RESULTS.write_text(_page(rows), encoding="utf-8")


def _row(name: str, composite: str) -> str:
    network = models.find(name)
    x = network.sample(1)
    source = model_bytes(network, x)
    programs = {"source": program(source, x)}
    programs["whole"] = program(onnxlrp.convert(source, composite).to_proto().SerializeToString(), x)
    for stage in STAGES:
        ends = {"inputs": [], "relevance_at": [end_of(source, stage)]}
        programs[stage] = program(onnxlrp.convert(source, composite, **ends).to_proto().SerializeToString(), x)
    seconds = in_turns(programs, ROUNDS, time.process_time)
    forward = statistics.median(seconds["source"]) * 1e3
    cells = [network.title, f"`{composite}`", f"{forward:.1f}"]
    cells += [f"{ratio(seconds[key], seconds['source']):.2f}" for key in (*STAGES, "whole")]
    return f"| {' | '.join(cells)} |"


def end_of(source: bytes, stage: str) -> str:
    """Find the output of the last activation of a stage, by the names that torch's exporter gives nodes."""
    nodes = onnx.load_from_string(source).graph.node
    found = [node.output[0] for node in nodes if node.op_type == "Relu" and node.name.startswith(f"/{stage}/")]
    return found[-1]


def _page(rows: Sequence[str]) -> str:
    head = ["network", "composite", "forward, ms", *(f"to `{stage}`" for stage in STAGES), "to the picture"]
    lines = [
        "# Costs of explanations that end at an inner value",
        "",
        f"`python -m tools.benchmark.inner_values`, {datetime.date.today()}, onnxlrp {onnxlrp.__version__}, "
        f"onnxruntime {onnxruntime.__version__}.",
        f"Processor time of one thread, batch 1, medians of the ratios of {ROUNDS} rounds in which all take turns, to "
        "the model's forward pass. The value is what the last activation of a stage gives: "
        "`convert(model, composite, inputs=[], relevance_at=[VALUE])`.",
        "",
        f"| {' | '.join(head)} |",
        "|" + "---|" * len(head),
        *rows,
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
