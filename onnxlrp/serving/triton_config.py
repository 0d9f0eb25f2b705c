"""`config.pbtxt`: the configuration of a model in a Triton model repository."""

from __future__ import annotations

import dataclasses

from google.protobuf.text_encoding import CEscape

from onnxlrp.serving.served_tensors import ServedTensor, ServedTensors

KINDS = {"auto": "KIND_AUTO", "cpu": "KIND_CPU", "gpu": "KIND_GPU"}
"""Kinds of instances by the device that they run on; "auto" is a GPU where the server has one."""


@dataclasses.dataclass(frozen=True)
class TritonConfig:
    """A model's configuration, which `text` writes in the text format of protocol buffers."""

    name: str
    tensors: ServedTensors
    max_batch_size: int
    """Most samples that Triton joins to a batch; 0: it joins none, and each request has its own batch axis."""
    device: str = "auto"
    instances: int = 1
    about: str = ""
    """Comment at the top."""

    def text(self) -> str:
        """Write the configuration."""
        parts = [
            *([f"# {self.about}"] if self.about else []),
            f"name: {_quoted(self.name)}",
            'platform: "onnxruntime_onnx"',
            'backend: "onnxruntime"',
            f"max_batch_size: {self.max_batch_size}",
            f"input [\n{self._list(self.tensors.inputs)}\n]",
            f"output [\n{self._list(self.tensors.outputs)}\n]",
            f"instance_group [\n  {{\n    kind: {KINDS[self.device]}\n    count: {self.instances}\n  }}\n]",
            *(["dynamic_batching { }"] if self.max_batch_size else []),
        ]
        return "\n".join(parts) + "\n"

    def _list(self, tensors: tuple[ServedTensor, ...]) -> str:
        return ",\n".join(self._tensor(one) for one in tensors)

    def _tensor(self, one: ServedTensor) -> str:
        """Write an input or output; Triton leaves out the batch axis, and takes an empty shape only as a reshape."""
        shape = one.shape[1:] if self.max_batch_size else one.shape
        lines = [f"name: {_quoted(one.name)}", f"data_type: TYPE_{one.datatype}", f"dims: {_sizes(shape or (1,))}"]
        if not shape:
            lines.append("reshape: { shape: [ ] }")
        if one.optional:
            lines.append("optional: true")
        return "  {\n" + "".join(f"    {line}\n" for line in lines) + "  }"


def _sizes(shape: tuple[int, ...]) -> str:
    return f"[ {', '.join(map(str, shape))} ]"


def _quoted(text: str) -> str:
    return f'"{CEscape(text.encode(), as_utf8=False)}"'
