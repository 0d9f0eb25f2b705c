"""Measurement of presets beside `auto` on small networks that are trained here, in minutes: `python -m tools.defaults`.

It needs torch and scikit-learn besides onnxlrp (tools/peers.txt says how to install torch).
"""

from __future__ import annotations

import datetime
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from onnxlrp import __version__
from tools.defaults.measure import COMPOSITES, SAMPLES, SEEDS, measure
from tools.defaults.networks import tasks

RESULTS = Path(__file__).parent / "results.md"


def main() -> None:
    """Print the table and write it to results.md."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="torch.*")
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
    start, lines, worse = time.perf_counter(), [], []
    for network, areas in ((task.name, measure(task)) for task in tasks()):
        lines.append(f"| {network} | " + " | ".join(_cell(areas, name) for name in COMPOSITES) + " |")
        worse += [f"{network}: `{name}` by {_gap(areas, name)}" for name in COMPOSITES if _better(areas, name)]
        print(lines[-1], flush=True)
    RESULTS.write_text(_page(lines, worse, time.perf_counter() - start))
    print(f"\nwrote {RESULTS}\n" + "\n".join(worse))


def _cell(areas: dict[str, np.ndarray], name: str) -> str:
    """Write the mean and its standard error."""
    return f"{areas[name].mean():.2f} ± {areas[name].std() / len(areas[name]) ** 0.5:.2f}"


def _difference(areas: dict[str, np.ndarray], name: str) -> tuple[float, float]:
    """Compute by how much a composite is above `auto` on the same samples, and the standard error of that."""
    above = areas[name] - areas["auto"]
    return float(above.mean()), float(above.std() / len(above) ** 0.5)


def _gap(areas: dict[str, np.ndarray], name: str) -> str:
    mean, error = _difference(areas, name)
    return f"{mean:.2f} ± {error:.2f} ({mean / abs(areas['auto'].mean()):.0%})"


def _better(areas: dict[str, np.ndarray], name: str) -> bool:
    """Decide whether a composite is above `auto` by more than two standard errors of the paired differences."""
    mean, error = _difference(areas, name)
    return mean > 2 * error


def _page(lines: list[str], worse: list[str], seconds: float) -> str:
    head = [
        "| network | " + " | ".join(f"`{name}`" for name in COMPOSITES) + " |",
        "|---" * (len(COMPOSITES) + 1) + "|",
    ]
    above = [f"- {line}" for line in worse] or ["- none"]
    return "\n".join(
        [
            "# The default composite on networks that are trained here",
            "",
            f"`python -m tools.defaults`, {datetime.date.today()}, onnxlrp {__version__}, {seconds / 60:.1f} minutes.",
            f"{SEEDS} trained networks a row, {SAMPLES} samples each. Deletion: elements are set to 0, the mean of all",
            "data, the least relevant first and the most relevant first; the area between the two curves of the score",
            "of the predicted class, higher is better. ± is the standard error over samples. `epsilon_gamma_box` knows",
            "the lowest and the highest element of the data. Models on disk, larger and on real data, are in",
            "[the suite](../evaluation/suite.md).",
            "",
            *head,
            *lines,
            "",
            "Above `auto` by more than two standard errors of the difference, sample by sample:",
            "",
            *above,
            "",
        ]
    )


main()
