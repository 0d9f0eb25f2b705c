"""The two stabilisers side by side: `python -m tools.benchmark.stabilisers` writes results/stabilisers.md (minutes).

Rounding is measured on bundled networks of convolutions: relevance in float32 by onnxruntime is compared with that in
float64 by ONNX's reference evaluator. Times are processor time of one thread on torchvision's networks with random
weights, all programs of a network by turns.
"""

from __future__ import annotations

import datetime
import statistics
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

import onnxlrp
from tools.benchmark import models
from tools.benchmark.environment import ROOT
from tools.benchmark.methods import model_bytes, program
from tools.benchmark.timing import in_turns, ratios

RESULTS = Path(__file__).parent / "results" / "stabilisers.md"
BUNDLED = ("digits_cnn", "pictures_resnet", "coins_unet")
NETWORKS = (("resnet50", 1), ("mobilenet_v2", 1), ("densenet121", 8))
COMPOSITES = ("epsilon", "epsilon_plus", "auto")
STABILISERS = ("add", "clamp")
ROUNDS, SAMPLES = 5, 4


def main() -> None:
    """Measure both, and write the page."""
    lines = [
        "# Stabilisers",
        "",
        f"`python -m tools.benchmark.stabilisers`, {datetime.date.today()}, onnxlrp {onnxlrp.__version__}, onnxruntime "
        f"{onnxruntime.__version__}.",
        "",
        "## Rounding",
        "",
        "The norm of the difference of relevance in float32 from that in float64 over its norm, on bundled samples.",
        "",
        "| network | composite | `add` | `clamp` |",
        "|---|---|---|---|",
        *(_rounding(folder, composite) for folder in BUNDLED for composite in COMPOSITES),
        "",
        "## Time",
        "",
        f"Ratios to the model's forward pass, medians of {ROUNDS} rounds, in brackets the least and the largest.",
        "",
        "| network | batch | composite | `add` | `clamp` |",
        "|---|---|---|---|---|",
        *(row for name, batch in NETWORKS for row in _times(name, batch)),
        "",
    ]
    RESULTS.write_text("\n".join(lines), encoding="utf-8")


def _rounding(folder: str, composite: str) -> str:
    source = onnx.load(next((ROOT / "models" / folder).glob("*.onnx")))
    with np.load(ROOT / "models" / folder / "samples.npz") as archive:
        x = archive["image"][:SAMPLES]
    cells = [f"{_difference(source, f'{composite}(stabiliser={one!r})', x):.0e}" for one in STABILISERS]
    print(folder, composite, *cells, flush=True)
    return f"| `{folder}` | `{composite}` | {' | '.join(cells)} |"


def _difference(source: onnx.ModelProto, composite: str, x: np.ndarray) -> float:
    options = {"target": "weights"} if source.graph.output[0].type.tensor_type.shape.dim[2:] else {}
    single = onnxlrp.convert(source, composite, **options)
    double = onnxlrp.convert(_in_doubles(source), composite, **options)
    (name,) = single.interface.relevance
    session = onnxruntime.InferenceSession(single.to_proto().SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run([single.interface.relevance[name]], {name: x})
    evaluator = ReferenceEvaluator(double.to_proto())
    (truth,) = evaluator.run([double.interface.relevance[name]], {name: x.astype(np.float64)})
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


def _in_doubles(source: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with all of its float32 numbers as float64."""
    model = onnx.ModelProto()
    model.CopyFrom(source)
    tensors = [*model.graph.initializer, *(a.t for n in model.graph.node for a in n.attribute if a.name == "value")]
    for tensor in tensors:
        if tensor.data_type == TensorProto.FLOAT:
            wide = numpy_helper.to_array(tensor).astype(np.float64)
            tensor.CopyFrom(numpy_helper.from_array(wide, tensor.name))
    for value in [*model.graph.input, *model.graph.output, *model.graph.value_info]:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    return model


def _times(name: str, batch: int) -> list[str]:
    network = models.find(name)
    x = network.sample(batch)
    source = model_bytes(network, x)
    asked = [f"{composite}(stabiliser={one!r})" for composite in COMPOSITES for one in STABILISERS]
    programs = {"source": program(source, x)}
    programs |= {c: program(onnxlrp.convert(source, c).to_proto().SerializeToString(), x) for c in asked}
    seconds = in_turns(programs, ROUNDS, time.process_time)
    cells = {}
    for composite in asked:
        found = ratios(seconds[composite], seconds["source"])
        cells[composite] = f"{statistics.median(found):.2f} ({min(found):.2f}–{max(found):.2f})"
    print(network.title, cells, flush=True)
    pairs = zip(asked[::2], asked[1::2], strict=True)
    named = zip(COMPOSITES, pairs, strict=True)
    return [f"| {network.title} | {batch} | `{name}` | {' | '.join(cells[c] for c in pair)} |" for name, pair in named]


if __name__ == "__main__":
    main()
