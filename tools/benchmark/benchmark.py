"""What an explanation costs: source forward, explained model and Zennit, interleaved, as medians and ratios.

    python tools/benchmark/benchmark.py resnet50 vgg16 --rounds 7

Needs the `peers` extra (torch and torchvision make the models; zennit is timed where it is installed).
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
from rich.console import Console
from rich.table import Table

import onnxlrp

# torchvision's fake kernels need a torch build with operators that CPU builds lack; nothing here uses them.
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("_meta_registrations"))

COMPOSITES = ("epsilon", "epsilon_plus", "epsilon_gamma_box(low=0, high=1)", "epsilon_alpha2_beta1")
"""z⁺ and γ see inputs that are 0 or more behind every ReLU; the picture itself has no known sign."""
SIZE = 224
PAUSE = 0.3
"""Seconds between programs."""


def main() -> None:
    """Time the models that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=["resnet50", "vgg16"], help="names of torchvision's classifiers")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds of five runs each")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--composites", nargs="*", default=list(COMPOSITES))
    arguments = parser.parse_args()
    console = Console(width=120)
    console.print(
        f"{platform.processor() or platform.machine()}, {arguments.threads} threads, batch {arguments.batch}, "
        f"onnxruntime {ort.__version__}, onnxlrp {onnxlrp.__version__}"
    )
    for name in arguments.models:
        console.print(measure(name, arguments))


def measure(name: str, arguments: argparse.Namespace) -> Table:
    """One model's table: milliseconds and the ratio to the source's forward, each a median over interleaved rounds."""
    x = np.random.default_rng(0).random((arguments.batch, 3, SIZE, SIZE), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        network, path = export(name, Path(folder))
        work: dict[str, Callable[[], object]] = {"source forward": runner(path.read_bytes(), x, arguments.threads)}
        facts = {"source forward": ("", "")}
        for composite in arguments.composites:
            started = time.perf_counter()
            model = onnxlrp.convert(path, composite).to_proto().SerializeToString()
            converted = time.perf_counter()
            work[composite] = runner(model, x, arguments.threads)
            session = time.perf_counter() - converted
            facts[composite] = (f"{converted - started:.2f}", f"{session:.2f}")
    if importlib.util.find_spec("zennit"):
        for label, run in zennit_runs(network, x, arguments.threads).items():
            work[label], facts[label] = run, ("", "")
    times: dict[str, list[float]] = {label: [] for label in work}
    for _ in range(arguments.rounds):
        for label, run in work.items():
            times[label].append(timed(run))
    table = Table("", "median ms", "min", "max", "× source", "convert s", "session s", title=name)
    source = times["source forward"]
    for label, runs in times.items():
        ratio = statistics.median(a / b for a, b in zip(runs, source, strict=True))
        milliseconds = [f"{1000 * f(runs):.1f}" for f in (statistics.median, min, max)]
        table.add_row(label, *milliseconds, f"{ratio:.2f}", *facts[label])
    return table


def timed(run: Callable[[], object]) -> float:
    """Seconds of one run, the median of five in a row, the caches warm.

    The pause lets the threads of the program before go to sleep: onnxruntime's and torch's spin on for a while, into
    the time of whoever runs next.
    """
    time.sleep(PAUSE)
    run()
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def export(name: str, folder: Path):  # type: ignore[no-untyped-def]
    """A torchvision classifier with seeded weights and batch-norm statistics, and its ONNX file."""
    import torch
    import torchvision

    torch.manual_seed(0)
    network = torchvision.models.get_model(name, weights=None).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    path = folder / f"{name}.onnx"
    axes = {"x": {0: "N"}, "y": {0: "N"}}
    example = (torch.rand(1, 3, SIZE, SIZE),)
    torch.onnx.export(network, example, path, dynamo=False, input_names=["x"], output_names=["y"], dynamic_axes=axes)
    return network, path


def runner(model: bytes, x: np.ndarray, threads: int) -> Callable[[], object]:
    """Runs a model in a session of its own."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"x": x})


def zennit_runs(network, x: np.ndarray, threads: int) -> dict[str, Callable[[], object]]:  # type: ignore[no-untyped-def]
    """The same work in Zennit: ε everywhere, and z⁺ on convolutions."""
    import torch
    from zennit.attribution import Gradient
    from zennit.composites import EpsilonPlus, LayerMapComposite
    from zennit.rules import Epsilon
    from zennit.types import AvgPool, Linear
    from zennit.types import Convolution as Convolutions

    torch.set_num_threads(threads)
    data = torch.from_numpy(x)

    def attribute(composite: object) -> object:
        with Gradient(model=network, composite=composite) as attributor:
            output, _ = attributor(data.clone(), lambda y: torch.eye(y.shape[1])[y.argmax(1)])
        return output

    everywhere = LayerMapComposite([((Convolutions, Linear, AvgPool), Epsilon())])
    return {"zennit epsilon": lambda: attribute(everywhere), "zennit epsilon_plus": lambda: attribute(EpsilonPlus())}


if __name__ == "__main__":
    main()
