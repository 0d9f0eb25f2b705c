"""The result of a conversion: an explained model, its plan and its interface."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import onnx

from onnxlrp.finish import save
from onnxlrp.interface import Interface
from onnxlrp.notebook_html import notebook_table
from onnxlrp.plan import Plan
from onnxlrp.reprs import counted, cut
from onnxlrp.source.read import Source

if TYPE_CHECKING:
    from onnxlrp.runtime.checking import Comparison


@dataclasses.dataclass
class Explained:
    """A model that explains itself: the result of `convert`.

    ```python
    explained = onnxlrp.convert("model.onnx")
    explained.interface.relevance  # {"image": "image_relevance"}
    explained.save("model.lrp.onnx")
    ```
    """

    plan: Plan
    """Every step from the explained score to the inputs, its rule, and why; `print` shows it as a table."""
    interface: Interface
    """Names and meaning of the inputs and outputs that were added."""
    notes: tuple[str, ...]
    """Sentences about what was decided or is unusual; the plan shows them too."""
    _source: Source
    comparison: Comparison | None = None
    """The outputs of source and explained model side by side; None unless `convert` was called with `check=True`."""

    def __repr__(self) -> str:
        inputs, nodes = counted(len(self.interface.relevance), "input"), counted(len(self.plan.rows()), "node")
        return (
            f"<Explained {cut(self._source.name)}: {inputs}, composite {cut(self.plan.composite)}, {nodes} explained>"
        )

    def _repr_html_(self) -> str:
        added = self.interface
        rows = [(name, output) for name, output in added.relevance.items()]
        title = f"Explained {self._source.name}: {self.plan.composite} on {added.output!r}"
        steps = f"{counted(len(self.plan.rows()), 'node')} explained; print(explained.plan) shows how"
        return notebook_table(title, ("input", "output with its relevance"), rows, (steps, *self.notes))

    @property
    def origin(self) -> Path | None:
        """File that the source was read from; None for a model in memory."""
        return self._source.files[0] if self._source.files else None

    def to_proto(self) -> onnx.ModelProto:
        """Return the explained model with its weights inside. Raises InputError past 2 GB: save it then."""
        return save.to_proto(self._source)

    def save(self, path: str | Path, *, share_weights: bool = False) -> None:
        """Write one ONNX file, whole or not at all; past 2 GB its weights lie in a file beside it, `path` + ".data".

        Parameters
        ----------
        path
            The file to write. A file that is there is replaced.
        share_weights
            True refers to the source's external weight file, in whose folder `path` must lie, and writes no weights.

        Raises
        ------
        InputError
            `path` is the source or its weights, by whatever link, or is no regular file; or `path` + ".data" exists,
            and no explained model at `path` wrote it; or the file cannot be written.

        Examples
        --------
        ```python
        onnxlrp.convert("model.onnx").save("model.lrp.onnx")
        ```
        """
        save.save(self._source, Path(path), share_weights=share_weights)

    @property
    def weight_files(self) -> dict[str, Path]:
        """Files that hold weights of the source, each by its place in the source's folder."""
        return dict(self._source.weights)

    def shared_content(self, path: str | Path) -> bytes:
        """Serialise the model as `save(path, share_weights=True)` would write it, without writing anything."""
        return save.shared_content(self._source, Path(path))
