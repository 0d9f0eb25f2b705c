"""Project for ViRelAy: data, maps and clusters in CoRelAy's HDF5 layout."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from onnxlrp.drafts import atomic_write
from onnxlrp.errors import InputError
from onnxlrp.extras import optional
from onnxlrp.runtime.explainer import Explainer
from onnxlrp.runtime.explanation import Explanation
from onnxlrp.runtime.files import picture_layout
from onnxlrp.view.figures.picture_maps import Pictured, pictured
from onnxlrp.view.figures.scene import scene_of

if TYPE_CHECKING:
    from onnxlrp.concepts.cluster_report import Clusters

FILES = ("project.yaml", "label_map.json", "dataset.h5", "attribution.h5", "analysis.h5")
_CLUSTERING = "eigengap"
"""Name of the clustering in the file of analyses."""


class CorelayFolder:
    """A project that is written batch by batch; its files are there once all are whole.

    Raises InputError for a model whose first explained input is no picture, and OnnxLrpError without h5py.
    """

    def __init__(self, folder: Path, explainer: Explainer) -> None:
        self._h5py = optional("h5py", "a project for ViRelAy")
        self._folder, self._explainer, self._count = folder, explainer, 0
        self._name = next(iter(explainer.interface.relevance))
        if picture_layout(explainer.inputs[self._name]) is None:
            raise InputError(f"a project for ViRelAy is of pictures, and {self._name!r} is none")
        self._stack = contextlib.ExitStack()
        self._files: dict[str, Any] = {}

    def __enter__(self) -> CorelayFolder:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stack.__enter__()
        self._drafts = {name: self._stack.enter_context(atomic_write(self._folder / name)) for name in FILES}
        for name in FILES[2:]:
            # The draft is locked already, so that no other process removes it.
            file = self._h5py.File(self._drafts[name], "w", locking=False)
            self._files[name] = self._stack.enter_context(file)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def add(self, explanation: Explanation) -> None:
        """Append a batch: the pictures as the model saw them, uint8 [N, height, width, 3], their relevance in the shape
        of the input, the outputs of the model, and the explained classes."""
        scene = scene_of(explanation)
        pictures = [_coloured(pictured(scene, self._name, i)) for i in range(scene.samples)]
        label = np.asarray(explanation.target).astype(np.uint16)
        output = np.asarray(explanation.outputs[self._explainer.explained_output], np.float32).reshape(len(label), -1)
        _append(self._files["dataset.h5"], "data", np.stack(pictures))
        _append(self._files["dataset.h5"], "label", label)
        _append(self._files["attribution.h5"], "attribution", explanation.relevance[self._name].astype(np.float32))
        _append(self._files["attribution.h5"], "prediction", output)
        _append(self._files["attribution.h5"], "label", label)

    def finish(self, clusters: Clusters) -> None:
        """Write the analysis of every class, the names of the classes, and the project itself."""
        for target, found in clusters.spectra.items():
            group = self._files["analysis.h5"].create_group(_identifier(target))
            group["index"] = clusters.rows[target].astype(np.uint32)
            group[f"cluster/{_CLUSTERING}"] = found.cluster.astype(np.int32)
            group["embedding/spectral"] = found.embedding.astype(np.float32)
            group["embedding/spectral"].attrs["eigenvalue"] = found.eigenvalues.astype(np.float32)
        names = [
            {"index": k, "word_net_id": _identifier(k), "name": clusters.name_of(k)}
            for k in range(int(clusters.target.max()) + 1)
        ]
        face = self._explainer.interface
        project = {
            "name": "onnxlrp",
            "model": f"{face.output} of SHA-256 {face.source_sha256[:12]}",
            "label_map": "label_map.json",
            "dataset": {"name": self._name, "type": "hdf5", "path": "dataset.h5"},
            "attributions": {
                "attribution_method": face.composite,
                "attribution_strategy": "predicted_label",
                "sources": ["attribution.h5"],
            },
            "analyses": [{"analysis_method": "spectral relevance analysis", "sources": ["analysis.h5"]}],
        }
        # JSON is YAML, too.
        for name, content in (("label_map.json", names), ("project.yaml", {"project": project})):
            self._drafts[name].write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _identifier(target: int) -> str:
    """Name a class as groups of an analysis are named, in order."""
    return f"{target:05d}"


def _append(file: Any, name: str, rows: np.ndarray) -> None:
    if name not in file:
        file.create_dataset(name, data=rows, maxshape=(None, *rows.shape[1:]), chunks=True)
        return
    count = len(file[name])
    file[name].resize(count + len(rows), axis=0)
    file[name][count:] = rows


def _coloured(one: Pictured) -> np.ndarray:
    """Bring a picture to the size of its map, with three channels."""
    height, width = one.raw.shape
    shown = Image.fromarray(one.picture).convert("RGB")
    return np.asarray(shown if shown.size == (width, height) else shown.resize((width, height)))
