"""Ledger of conservation: the table that shows where relevance went."""

from __future__ import annotations

import dataclasses

import numpy as np

from onnxlrp.interface import LEDGER_COLUMNS
from onnxlrp.notebook_html import notebook_table
from onnxlrp.printable import escaped
from onnxlrp.reprs import counted


@dataclasses.dataclass(frozen=True, eq=False)
class Ledger:
    """Table of where relevance went: signed sums over the batch, one row for each step of the plan.

    The columns are *arrives*, *passed on* (to other steps and explained inputs), *bias* (kept by constants), *epsilon*
    (kept by stabilisers) and *stopped* (sent where no explained input is reached).

    ```python
    explainer = onnxlrp.Explainer(onnxlrp.convert("model.onnx", "epsilon", ledger=True))
    ledger = explainer({"image": x}).ledger
    ledger.totals  # {"bias": 0.0, "epsilon": 1e-05, "stopped": 0.0}
    print(ledger)  # the whole table
    ```
    """

    names: tuple[str, ...]
    """Names of the steps."""
    values: np.ndarray
    """Sums of relevance, float [steps, 5], in the columns above."""
    marked: tuple[bool, ...]
    """True for steps that do not conserve relevance locally: their bias column is the remainder."""

    @property
    def gaps(self) -> np.ndarray:
        """Amount missing at each step, |arrives − (passed on + bias + epsilon + stopped)|, float64 [steps]."""
        values = self.values.astype(np.float64)
        return np.asarray(np.abs(values[:, 0] - values[:, 1:].sum(axis=1)))

    @property
    def absorbed(self) -> np.ndarray:
        """Relevance that each step did not pass on, bias + epsilon + stopped, float64 [steps]."""
        return np.asarray(self.values[:, 2:].astype(np.float64).sum(axis=1))

    @property
    def totals(self) -> dict[str, float]:
        """Sums over all steps of bias, epsilon and stopped."""
        sums = self.values.astype(np.float64).sum(axis=0)
        return {name: float(sums[index]) for index, name in enumerate(LEDGER_COLUMNS) if index >= 2}

    def seeds(self, arrived: float) -> float:
        """Compute the amount that relevance started from, given the amount `arrived` at the inputs.

        Relevance that arrives at a step is a seed or was passed on; all that is passed on arrives at a step or an
        input.
        """
        sums = self.values.astype(np.float64).sum(axis=0)
        return float(sums[0] - sums[1]) + arrived

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        sums = ", ".join(f"{name} {value:.3g}" for name, value in self.totals.items())
        return f"<Ledger: {counted(len(self), 'step')}, {sums}>"

    def _repr_html_(self) -> str:
        rows = [
            (name + (" *" if mark else ""), *(f"{value:.5g}" for value in row))
            for name, row, mark in zip(self.names, self.values, self.marked, strict=True)
        ]
        return notebook_table("Ledger", ("step", *LEDGER_COLUMNS), rows, numbers=len(LEDGER_COLUMNS))

    def __str__(self) -> str:
        names = [escaped(name) for name in self.names]
        width = max([len(name) for name in names] + [4])
        lines = [f"{'step':<{width}}  " + "".join(f"{column:>13}" for column in LEDGER_COLUMNS)]
        for name, row, mark in zip(names, self.values, self.marked, strict=True):
            lines.append(f"{name:<{width}}{'*' if mark else ' '} " + "".join(f"{value:>13.5g}" for value in row))
        sums = self.totals
        lines.append(f"{'all':<{width}}  " + " " * 26 + "".join(f"{total:>13.5g}" for total in sums.values()))
        if any(self.marked):
            lines.append("* does not conserve relevance locally: its bias column is the remainder")
        return "\n".join(lines)
