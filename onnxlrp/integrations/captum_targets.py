"""Targets as Captum takes them, and their forms for an `Explainer`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from onnxlrp.errors import TargetError
from onnxlrp.integrations.torch_tensors import as_array


@dataclasses.dataclass(frozen=True, eq=False)
class CaptumTarget:
    """The indices of the explained score after the batch axis: one row for all samples, or one for each."""

    indices: np.ndarray | None
    """Indices, int64 [1 or N, axes]; None if the caller gave no target."""

    @classmethod
    def of(cls, target: Any) -> CaptumTarget:
        """Read a target: None, an index for all samples or one for each as numbers, lists, arrays or tensors, a tuple
        of indices for all samples, or a list of tuples, one for each. Raises TargetError for anything else."""
        if target is None:
            return cls(None)
        try:
            array = as_array(list(target) if isinstance(target, (list, tuple)) else target)
        except ValueError as error:
            raise TargetError(f"target {target!r:.80}: all samples need as many indices") from error
        if array.dtype.kind not in "iu" or array.ndim > 2 or not array.size:
            raise TargetError(
                f"target {target!r:.80}: give an index, one for each sample, a tuple of indices, or a list of tuples"
            )
        rows = (
            array.reshape(1, -1)
            if isinstance(target, tuple)
            else array.reshape(-1, 1 if array.ndim < 2 else array.shape[1])
        )
        return cls(rows.astype(np.int64))

    @property
    def kind(self) -> str:
        """The kind of target that a model is converted with: a class, or an element where there are several indices."""
        return "element" if self.indices is not None and self.indices.shape[1] > 1 else "class"

    def arguments(self, kind: str) -> dict[str, Any]:
        """Arguments of a call of an explainer. Raises TargetError if a model of this kind takes no such target."""
        if self.indices is None:
            return {}
        count = self.indices.shape[1]
        if kind == "class" and count == 1:
            return {"target": self.indices[:, 0]}
        if kind == "token" and count == 2:
            return {"position": self.indices[:, 0], "target": self.indices[:, 1]}
        if kind == "element":
            return {"target": self.indices}
        raise TargetError(f"a model with target={kind!r} takes no target of {count} indices a sample")

    def scores(self, output: np.ndarray) -> np.ndarray:
        """Select the score of each sample, [N]. Raises TargetError if the target names no single number."""
        rows = output.reshape(len(output), -1) if self.indices is None else output
        if self.indices is None and rows.shape[1] > 1:
            raise TargetError(f"a target is needed to choose a score of each sample out of shape {output.shape}")
        indices = np.zeros((1, 1), np.int64) if self.indices is None else self.indices
        if rows.ndim != indices.shape[1] + 1:
            raise TargetError(f"a target of {indices.shape[1]} indices chooses no number out of shape {output.shape}")
        return rows[(np.arange(len(rows)), *np.broadcast_to(indices, (len(rows), indices.shape[1])).T)]
