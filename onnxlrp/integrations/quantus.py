"""Quantus's metrics on ONNX models: a model that Quantus takes, and a function that explains it.

It needs torch, because Quantus takes models of torch; the network itself runs in onnxruntime.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import onnx
from onnx import numpy_helper

from onnxlrp.errors import InputError, OnnxLrpError
from onnxlrp.integrations.model_with_explainers import ModelWithExplainers
from onnxlrp.integrations.torch_tensors import as_array
from onnxlrp.runtime import providers as sessions
from onnxlrp.runtime.reading import open_model

try:
    import torch

    from onnxlrp.integrations.weighted_layers import WeightedLayer, weighted_layers
except ImportError as error:
    raise OnnxLrpError("Quantus takes models of torch: pip install quantus torch") from error

__all__ = ["OnnxModel", "explain_func"]


class OnnxModel(torch.nn.Module):
    """An ONNX model as a network of torch, for Quantus's metrics.

    Its layers are modules with the model's weights as parameters. Metrics may read and change these, draw them anew,
    add noise, and look at the layers' outputs; scores and explanations are then those of the changed weights.

    Parameters
    ----------
    model
        The path of an ONNX file, its bytes or an `onnx.ModelProto`. It is not explained yet.
    composite
        The composite of the explanations. Default: `"auto"`.
    input
        The name of the input that metrics change and that is explained. Default: the first one.
    others
        Arrays for the model's other inputs, by name; one of a single row is repeated for each sample.
    providers
        onnxruntime's execution providers. Default: CUDA where it works, else the CPU.
    options
        Further arguments of `onnxlrp.convert`, such as `output` or `rules`.

    Raises
    ------
    InvalidModelError
        The model cannot be read.
    InputError
        The model is explained already, has no such input, or another input has no array.

    Examples
    --------
    ```python
    import quantus
    from onnxlrp.integrations.quantus import OnnxModel, explain_func

    model = OnnxModel("model.onnx", "epsilon_plus")
    metric = quantus.PixelFlipping(features_in_step=16)
    scores = metric(model=model, x_batch=x, y_batch=classes, explain_func=explain_func)
    ```
    """

    def __init__(
        self,
        model: Any,
        composite: Any = None,
        *,
        input: str | None = None,
        others: Mapping[str, Any] | None = None,
        providers: Sequence[Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        proto = onnx.load(model) if not isinstance(model, (bytes, onnx.ModelProto)) else model
        file = open_model(proto)
        if file.interface is not None:
            raise InputError("the model is explained already: give the source, and the composite beside it")
        names = [name for name, spec in file.inputs.items() if not spec.optional]
        self._input = names[0] if input is None else input
        self._others = {name: np.asarray(value) for name, value in (others or {}).items()}
        missing = {self._input, *names} - {self._input, *self._others} | {self._input} - set(names)
        if missing:
            raise InputError(
                f"the inputs of the model are {names}: give an array in others= for each but {self._input!r}"
            )
        self._dtype = file.inputs[self._input].dtype
        self._options = {"composite": composite, "providers": providers, "options": options}
        loaded = onnx.load_from_string(proto) if isinstance(proto, bytes) else proto
        self._source = _Weightless(_with_initializers(loaded))
        for number, layer in enumerate(weighted_layers(self._source.proto.graph)):
            self.add_module(self._free_name(layer.node.name or f"{layer.node.op_type}_{number}"), layer)
        self._built = _Built()
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Compute the scores of a batch. Hooks of layers are called with the layers' outputs."""
        feeds = self._feeds(x)
        hooked = [layer for layer in self._layers() if layer._forward_hooks]
        if hooked:
            values = self._run_layers(feeds)
            for layer in hooked:
                for hook in layer._forward_hooks.values():
                    hook(layer, (), torch.from_numpy(values[layer.output]))
        return torch.from_numpy(self._now().scores(feeds))

    def explain(self, inputs: Any, targets: Any = None, **options: Any) -> np.ndarray:
        """Compute the relevance of a batch; see `explain_func`."""
        feeds, model = self._feeds(inputs), self._now(options)
        kind = model.kind("class")
        explainer = model.explainer(kind, [self._input])
        target = {} if targets is None else {"target": as_array(targets)}
        return explainer.compute(explainer.prepare(feeds), **target).relevance[self._input]

    def _layers(self) -> list[WeightedLayer]:
        return [child for child in self.children() if isinstance(child, WeightedLayer)]

    def _free_name(self, name: str) -> str:
        """Make a name for a layer that torch takes and that nothing else has."""
        name = name.replace(".", "_")
        while hasattr(self, name):
            name += "_"
        return name

    def _feeds(self, x: Any) -> dict[str, np.ndarray]:
        array = as_array(x)
        array = array if self._dtype is None else array.astype(self._dtype)
        rows = {name: _repeated(value, len(array)) for name, value in self._others.items()}
        return {self._input: array, **rows}

    def _now(self, options: Mapping[str, Any] | None = None) -> ModelWithExplainers:
        """The model with the weights that the layers have now, built anew if one has changed."""
        built = self._current()
        composite = (options or {}).get("composite", self._options["composite"])
        more = {**self._options["options"], **{k: v for k, v in (options or {}).items() if k != "composite"}}
        key = repr((composite, sorted(more.items(), key=lambda item: item[0])))
        if key not in built.models:
            given = (composite, self._options["providers"], more)
            built.models[key] = ModelWithExplainers(self._source.with_weights(self._layers()), *given)
        return built.models[key]

    def _run_layers(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute the outputs of all layers."""
        built = self._current()
        if built.layers is None:
            proto = self._source.with_weights(self._layers())
            del proto.graph.output[:]
            names = dict.fromkeys(layer.output for layer in self._layers())
            proto.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
            built.layers = sessions.create_session(proto.SerializeToString(), self._options["providers"])
        return sessions.run(built.layers, None, feeds)

    def _current(self) -> _Built:
        state = tuple((t.data_ptr(), t._version) for layer in self._layers() for _, t in layer.tensors())
        if self._built.state != state:
            self._built = _Built(state)
        return self._built


def explain_func(model: Any, inputs: Any, targets: Any, **options: Any) -> np.ndarray:
    """Explain a batch, with the signature that Quantus asks of an `explain_func`.

    Parameters
    ----------
    model
        An `OnnxModel`, perhaps with a layer of torch after it, or a model as `OnnxModel` takes it.
    inputs
        The batch, array or tensor.
    targets
        The class of each sample, [N].
    options
        Quantus's `explain_func_kwargs`: `composite` and other arguments of `onnxlrp.convert`, in the place of those
        that the model was given. `device`, which Quantus adds, has no effect.

    Returns
    -------
    numpy.ndarray
        Relevance in the shape of `inputs`.

    Raises
    ------
    InputError
        The batch does not fit the model.
    TargetError
        There is no such class.
    """
    options.pop("device", None)
    if isinstance(model, torch.nn.Module):
        found = [part for part in model.modules() if isinstance(part, OnnxModel)]
        if not found:
            raise InputError(f"a {type(model).__name__} is no ONNX model: give an OnnxModel")
        model = found[0]
    return (model if isinstance(model, OnnxModel) else OnnxModel(model)).explain(inputs, targets, **options)


class _Weightless:
    """The source's graph, shared by all copies of a model."""

    def __init__(self, proto: onnx.ModelProto) -> None:
        self.proto = proto

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def with_weights(self, layers: Sequence[WeightedLayer]) -> onnx.ModelProto:
        """Copy the graph with the layers' weights in the place of its own."""
        proto = copy.deepcopy(self.proto)
        weights = {name: tensor for layer in layers for name, tensor in layer.tensors()}
        for tensor in proto.graph.initializer:
            if tensor.name in weights:
                tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name].detach().numpy(), tensor.name))
        return proto


class _Built:
    """Sessions and explainers of one state of the weights; a copy of a model begins without any."""

    def __init__(self, state: Any = None) -> None:
        self.state, self.layers = state, None
        self.models: dict[str, ModelWithExplainers] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> _Built:
        return _Built()


def _with_initializers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a model, with its constants as initializers, so that weights are all in one place."""
    proto = copy.deepcopy(model)
    for node in [node for node in proto.graph.node if node.op_type == "Constant"]:
        values = [attribute.t for attribute in node.attribute if attribute.name == "value"]
        if values:
            proto.graph.node.remove(node)
            proto.graph.initializer.add().CopyFrom(values[0])
            proto.graph.initializer[-1].name = node.output[0]
    return proto


def _repeated(value: np.ndarray, count: int) -> np.ndarray:
    return np.repeat(value, count, axis=0) if value.ndim and len(value) == 1 else value
