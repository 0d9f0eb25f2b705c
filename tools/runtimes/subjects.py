"""Subjects: models with a few samples, and the options under which they are explained."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "models"
SHOWN = "pictures_resnet"
"""Folder of the model that is explained by many composites."""
COMPOSITES = (
    *("lrp0", "epsilon_plus", "epsilon_plus_flat", "epsilon_gamma_box(low=-3, high=3)", "epsilon_alpha2_beta1"),
    *("vgg_overview(low=-3, high=3)", "deep_taylor", "excitation_backprop", "gradient", "gradient_x_input"),
    *("guided_backprop", "integrated_gradients", "deep_lift", "layer_cam"),
)
FEW = ("digits_cnn.torchscript", "diabetes_regression", "digits_lstm")
"""Subjects of the quick run."""
ATTENTION = ("attn_lrp", "cp_lrp")
"""Composites for models with attention, besides `auto` and `epsilon`."""


@dataclasses.dataclass(frozen=True)
class Subject:
    """A model, samples of its inputs, and one way to explain it."""

    name: str
    load: Callable[[], onnx.ModelProto]
    feeds: Callable[[], Mapping[str, np.ndarray]]
    """Samples, at least two along axis 0."""
    composite: str = "auto"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Further arguments of `convert`."""

    @property
    def title(self) -> str:
        """Name the subject and its composite."""
        return f"{self.name}: {self.composite}"


def bundled() -> list[Subject]:
    """List every model of models/ with `auto` and `epsilon`, and some with more composites."""
    more = {SHOWN: COMPOSITES, "pictures_vit": ATTENTION, "sentences_transformer": ATTENTION}
    found = []
    for path in sorted(MODELS.glob("*/*.onnx")):
        folder = path.parent.name
        options = {"target": "element"} if folder == "coins_unet" else {}
        for composite in ("auto", "epsilon", *more.get(folder, ())):
            load, feeds = functools.partial(onnx.load, path), functools.partial(samples, path)
            found.append(Subject(path.stem, load, feeds, composite, options))
    return found


def of_file(path: Path, inputs: Mapping[str, np.ndarray] | None, composite: str = "auto") -> Subject:
    """Make a subject of a user's own model; inputs that are not given are drawn at random."""
    drawn = inputs if inputs is not None else random_inputs(onnx.load(path, load_external_data=False))
    return Subject(path.stem, functools.partial(onnx.load, path), lambda: drawn, composite)


def random_inputs(model: onnx.ModelProto, samples: int = 2) -> dict[str, np.ndarray]:
    """Draw inputs of the declared types and shapes; an unknown axis 0 has `samples` entries, other ones 8."""
    rng, known = np.random.default_rng(0), {tensor.name for tensor in model.graph.initializer}
    found = {}
    for value in model.graph.input:
        if value.name in known:
            continue
        tensor = value.type.tensor_type
        shape = [d.dim_value or (8 if axis else samples) for axis, d in enumerate(tensor.shape.dim)]
        kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        drawn = rng.normal(size=shape) if kind.kind == "f" else rng.integers(0, 2, shape)
        found[value.name] = drawn.astype(kind)
    return found


def samples(path: Path) -> Mapping[str, np.ndarray]:
    """Read two samples that lie beside a bundled model."""
    beside = path.parent / "samples.npz"
    if beside.exists():
        with np.load(beside) as archive:
            return {name: archive[name][:2] for name in archive.files if name != "labels"}
    return {"image": _pictures()}


def _pictures() -> np.ndarray:
    from PIL import Image

    pictures = [MODELS / "pictures" / f"{name}.png" for name in ("coffee", "cat")]
    return np.stack([np.asarray(Image.open(path), np.float32).transpose(2, 0, 1) for path in pictures])
