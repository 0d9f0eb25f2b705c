"""Networks that are measured: how to build and seed them, their inputs, and the composites that explain them.

torch is imported only where it is used, because a model that is an ONNX file does not need it.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# torchvision's fake kernels need a torch build with operators that CPU builds lack; nothing here uses them.
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))

ON_PICTURES = ("epsilon", "epsilon_plus", "epsilon_gamma_box(low=0, high=1)", "epsilon_alpha2_beta1")
ON_ATTENTION = ("epsilon", "attn_lrp(epsilon=1e-12)", "cp_lrp(epsilon=1e-12)")
"""Composites for attention with a tiny ε, because LXT has no stabiliser: with ε = 1e-6 relevance of ViT-B/16 differs by
2 %."""
SIZE, TOKENS, STEPS, FEATURES = 224, 128, 100, 64
"""Side of a picture, tokens of a text, and the LSTM's steps and features."""


@dataclasses.dataclass(frozen=True)
class Model:
    """A network of the table."""

    title: str
    build: Callable[[], Any] | None
    """Function that makes a torch module with one input and one output [N, classes]; None if `file` is the model."""
    sample: Callable[[int], np.ndarray]
    """Function that makes `count` seeded inputs."""
    composites: tuple[str, ...]
    lxt: str | None = None
    """Name of the architecture in LXT."""
    file: Path | None = None


def find(name: str) -> Model:
    """Find one of MODELS, an ONNX file, or any of torchvision's classifiers by its name there."""
    if name in MODELS:
        return MODELS[name]
    if name.endswith(".onnx"):
        return _of_file(Path(name))
    return Model(name, _torchvision(name), _pictures, ON_PICTURES)


# ------------------------------------------------------------------------------------------------------------- inputs


def _pictures(count: int, size: int = SIZE) -> np.ndarray:
    """Make random pictures with pixels between 0 and 1, the bounds of the z-box."""
    return np.random.default_rng(0).random((count, 3, size, size), np.float32)


def _ids(vocabulary: int) -> Callable[[int], np.ndarray]:
    return lambda count: np.random.default_rng(0).integers(1000, vocabulary - 1, (count, TOKENS))


def _sequences(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, STEPS, FEATURES)).astype(np.float32)


def _of_file(path: Path) -> Model:
    """Make a row of any model file with one input: random values in its shape, ε and z⁺."""
    import onnx

    (given,) = onnx.load(path, load_external_data=False).graph.input
    dims = [d.dim_value or 1 for d in given.type.tensor_type.shape.dim][1:]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type)

    def sample(count: int) -> np.ndarray:
        return np.random.default_rng(0).random((count, *dims)).astype(dtype)

    return Model(path.stem, None, sample, ("epsilon", "epsilon_plus"), file=path)


# ----------------------------------------------------------------------------------------------------------- networks


def _torchvision(name: str) -> Callable[[], Any]:
    def build() -> Any:
        import torchvision

        return torchvision.models.get_model(name, weights=None)

    return build


def _bert() -> Any:
    import transformers

    return Scores(transformers.BertForSequenceClassification(transformers.BertConfig()), {})


def _gpt2() -> Any:
    import transformers

    return Scores(transformers.GPT2LMHeadModel(transformers.GPT2Config()), {"use_cache": False})


def Scores(model: Any, options: dict[str, Any]) -> Any:
    """Wrap a model of transformers as a module from ids (or `embedded` ones) to [N, classes].

    For a language model the scores are those after the last token.
    """
    import torch

    class OfIds(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Any = None, embedded: Any = None) -> Any:
            scores = self.model(ids, inputs_embeds=embedded, **options).logits
            return scores if scores.dim() == 2 else scores[:, -1]

    return OfIds()


def lstm(features: int = FEATURES, hidden: int = 256, classes: int = 10) -> Any:
    """Make two bidirectional layers with a score of the mean over all steps."""
    import torch

    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = torch.nn.LSTM(features, hidden, num_layers=2, bidirectional=True, batch_first=True)
            self.head = torch.nn.Linear(2 * hidden, classes)

        def forward(self, x: Any) -> Any:
            steps, _ = self.cells(x)
            return self.head(steps.mean(1))

    return Classifier()


MODELS = {
    "resnet50": Model("ResNet-50", _torchvision("resnet50"), _pictures, ON_PICTURES),
    "vgg16": Model("VGG-16", _torchvision("vgg16"), _pictures, ON_PICTURES),
    "mobilenet_v2": Model("MobileNetV2", _torchvision("mobilenet_v2"), _pictures, ON_PICTURES),
    "densenet121": Model("DenseNet-121", _torchvision("densenet121"), _pictures, ON_PICTURES),
    "vit_b_16": Model("ViT-B/16", _torchvision("vit_b_16"), _pictures, ON_ATTENTION, lxt="vit_torch"),
    "bert": Model("BERT-base", _bert, _ids(30522), ON_ATTENTION, lxt="bert"),
    "gpt2": Model("GPT-2 small", _gpt2, _ids(50257), ON_ATTENTION, lxt="gpt2"),
    "lstm": Model("bidirectional LSTM", lstm, _sequences, ("epsilon",)),
}


# ------------------------------------------------------------------------------------------------- weights and exports


def build(model: Model) -> Any:
    """Build the network with seeded weights, equal each time."""
    import torch

    assert model.build is not None
    torch.manual_seed(0)
    network = model.build().eval()
    generator = torch.Generator().manual_seed(1)
    norms = [part for part in network.modules() if isinstance(part, torch.nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for part in norms:
            part.weight.uniform_(0.5, 1.5, generator=generator)
            part.bias.normal_(0, 0.2, generator=generator)
        if any(isinstance(part, torch.nn.LayerNorm) for part in network.modules()):
            _seed_transformer(network, generator)
        if norms:
            _calibrate(network, norms, torch.from_numpy(model.sample(8)))
    return network


def _seed_transformer(network: Any, generator: Any) -> None:
    """Seed all weights, because torchvision starts its heads, and transformers its biases, at 0."""
    import torch

    for name, p in network.named_parameters():
        size = 0.5 if "emb" in name or "wte" in name else float(p[0].numel()) ** -0.5 if p.dim() > 1 else 0.1
        noise = torch.randn(p.shape, generator=generator) * size
        p.copy_(1 + noise if p.dim() == 1 and name.endswith("weight") else noise)


def _calibrate(network: Any, norms: list[Any], pictures: Any) -> None:
    """Set batch-norm statistics to those of real activations, as training does, so that ReLU cuts half of them."""
    for part in norms:
        part.reset_running_stats()
        part.momentum = None  # the plain average over all batches seen
        part.train()
    network(pictures)
    network.eval()


def export(network: Any, x: np.ndarray, path: Path, static: bool) -> None:
    """Export with torch's exporter, for any batch unless `static`."""
    import torch

    options: dict[str, Any] = {"input_names": ["x"], "output_names": ["y"], "opset_version": 17, "dynamo": False}
    if not static:
        options["dynamic_axes"] = {"x": {0: "N"}, "y": {0: "N"}}
    torch.backends.mha.set_fastpath_enabled(False)  # one fused operator, which the exporter does not know
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (torch.from_numpy(x),), path, **options)
    torch.backends.mha.set_fastpath_enabled(True)


def to_half(path: Path) -> None:
    """Convert the file's weights and arithmetic to float16."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(path)), path)
