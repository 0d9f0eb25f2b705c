"""Small seeded transformers of the real classes, their ONNX exports, and what LXT says of them.

LXT's efficient form patches classes and modules for everybody: models are exported first, then patched and built anew,
and `patched` puts back what was there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")
# torchvision's operators for meta tensors cost seconds to register and fail against some builds of torch
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))
transformers = pytest.importorskip("transformers")
models = pytest.importorskip("lxt.efficient.models")
patches = pytest.importorskip("lxt.efficient.patches")
rules = pytest.importorskip("lxt.efficient.rules")
moe = pytest.importorskip("transformers.models.qwen3_moe.modeling_qwen3_moe")
vision = pytest.importorskip("torchvision.models.vision_transformer")

VOCABULARY, TOKENS = 61, 6
_SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 32,
}
_DECODER = {**_SIZES, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def _vit(attention: dict) -> Any:
    return vision.VisionTransformer(
        image_size=16, patch_size=8, num_layers=2, num_heads=4, hidden_dim=24, mlp_dim=40, num_classes=5
    )


@dataclasses.dataclass(frozen=True)
class Family:
    """One architecture: how to build it, and LXT's patches by the name of our composite."""

    build: Callable[[dict], Any]
    patches: dict[str, dict]
    picture: bool = False


def _experts(uniform: bool) -> Callable[[type], bool]:
    """The formula for experts, which the released LXT lacks: the router's weight is a gate, or takes half; the sum that
    normalises it is constant."""

    def forward(self: Any, hidden_states: Any) -> tuple[Any, Any]:
        rows = hidden_states.flatten(0, -2)
        logits_of_router = self.gate(rows)
        weights, chosen = torch.topk(logits_of_router.softmax(-1), self.top_k, dim=-1)
        weights = weights / weights.sum(-1, keepdim=True).detach()
        if not uniform:
            weights = weights.detach()
        total = torch.zeros_like(rows)
        for index, expert in enumerate(self.experts):
            row, place = torch.where(chosen == index)
            part = expert(rows[row]) * weights[row, place, None]
            total = total.index_add(0, row, rules.divide_gradient(part, 2) if uniform else part)
        return total.reshape(hidden_states.shape), logits_of_router

    return functools.partial(patches.patch_method, forward)


def _qwen3_moe(uniform: bool) -> dict:
    gated = patches.gated_mlp_forward if uniform else patches.cp_gated_mlp_forward
    return {
        moe.Qwen3MoeMLP: functools.partial(patches.patch_method, gated),
        moe.Qwen3MoeRMSNorm: functools.partial(patches.patch_method, patches.rms_norm_forward),
        moe.Qwen3MoeSparseMoeBlock: _experts(uniform),
        moe: patches.patch_attention if uniform else patches.patch_cp_attention,
    }


FAMILIES = {
    "vit": Family(_vit, {"cp_lrp": models.vit_torch.cp_LRP}, picture=True),
    "bert": Family(
        lambda attention: transformers.BertForSequenceClassification(transformers.BertConfig(**_SIZES, **attention)),
        {"attn_lrp": models.bert.attnLRP},
    ),
    "gpt2": Family(
        lambda attention: transformers.GPT2LMHeadModel(
            transformers.GPT2Config(vocab_size=VOCABULARY, n_embd=24, n_layer=2, n_head=4, n_positions=32, **attention)
        ),
        {"attn_lrp": models.gpt2.attnLRP, "cp_lrp": models.gpt2.cp_LRP},
    ),
    "llama": Family(
        lambda attention: transformers.LlamaForCausalLM(transformers.LlamaConfig(**_DECODER, **attention)),
        {"attn_lrp": models.llama.attnLRP, "cp_lrp": models.llama.cp_LRP},
    ),
    "qwen2": Family(
        lambda attention: transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**_DECODER, **attention)),
        {"attn_lrp": models.qwen2.attnLRP, "cp_lrp": models.qwen2.cp_LRP},
    ),
    "qwen3": Family(
        lambda attention: transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**_DECODER, **attention, head_dim=6)),
        {"attn_lrp": models.qwen3.attnLRP, "cp_lrp": models.qwen3.cp_LRP},
    ),
    "gemma3": Family(
        lambda attention: transformers.Gemma3ForCausalLM(
            transformers.Gemma3TextConfig(
                **_DECODER, **attention, head_dim=6, query_pre_attn_scalar=6, sliding_window=4
            )
        ),
        {"attn_lrp": models.gemma3.attnLRP, "cp_lrp": models.gemma3.cp_LRP},
    ),
    "qwen3_moe": Family(
        lambda attention: transformers.Qwen3MoeForCausalLM(
            transformers.Qwen3MoeConfig(
                **_DECODER,
                **attention,
                head_dim=6,
                num_experts=4,
                num_experts_per_tok=2,
                moe_intermediate_size=16,
                norm_topk_prob=True,
            )
        ),
        {"attn_lrp": _qwen3_moe(True), "cp_lrp": _qwen3_moe(False)},
    ),
}


def build(name: str, dtype: Any) -> Any:
    """The model with seeded weights, norms and biases included, so that nothing is 0 or 1 by chance."""
    torch.manual_seed(0)
    # The exporters have no float64 for torch's fused attention with a mask.
    attention = {"attn_implementation": "eager"} if dtype == torch.float64 else {}
    model = FAMILIES[name].build(attention).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, p in model.named_parameters():
            size = 0.5 if "emb" in key else 1 / np.sqrt(p[0].numel()) if p.dim() > 1 else 0.1
            noise = torch.randn(p.shape, generator=generator) * size
            p.copy_(1 + noise if p.dim() == 1 and key.endswith("weight") else noise)
    return model.to(dtype)


def sample(name: str, dtype: Any) -> Any:
    """Two samples: pictures, or token ids."""
    generator = torch.Generator().manual_seed(2)
    if FAMILIES[name].picture:
        return torch.randn(2, 3, 16, 16, generator=generator).to(dtype)
    return torch.randint(3, VOCABULARY, (2, TOKENS), generator=generator)


def logits(model: Any, **inputs: Any) -> Any:
    """[N, classes]: of a language model those of the last token."""
    if "x" in inputs:
        return model(inputs["x"])
    scores = model(**inputs, **({} if "Bert" in type(model).__name__ else {"use_cache": False})).logits
    return scores if scores.dim() == 2 else scores[:, -1]


class _Exported(torch.nn.Module):
    def __init__(self, model: Any, picture: bool) -> None:
        super().__init__()
        self.model, self.picture = model, picture

    def forward(self, x: Any) -> Any:
        return logits(self.model, **({"x": x} if self.picture else {"input_ids": x}))


def export(name: str, dtype: Any, dynamo: bool) -> onnx.ModelProto:
    """The model as one of torch's exporters writes it; its input is `x`, its output `logits`."""
    module = _Exported(build(name, dtype), FAMILIES[name].picture).eval()
    x, names = sample(name, dtype), {"input_names": ["x"], "output_names": ["logits"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            return torch.onnx.export(module, (x,), dynamo=True, verbose=False, **names).model_proto
        buffer = io.BytesIO()
        torch.onnx.export(module, (x,), buffer, dynamo=False, opset_version=17, **names)
        return onnx.load_from_string(buffer.getvalue())


@contextlib.contextmanager
def patched(patches: dict) -> Iterator[None]:
    """LXT's patches, and what was there before afterwards."""
    functions = transformers.modeling_utils.ALL_ATTENTION_FUNCTIONS
    before = {target: dict(vars(target)) for target in patches}
    local = dict(functions._local_mapping)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # "already patched" would compare a model with itself
            for target, patch in patches.items():
                assert patch(target)
        yield
    finally:
        functions._local_mapping.clear()
        functions._local_mapping.update(local)
        for target, names in before.items():
            for key in set(vars(target)) - set(names):
                delattr(target, key)
            for key, value in names.items():
                if vars(target).get(key) is not value:
                    setattr(target, key, value)


def explain(name: str, composite: str, dtype: Any) -> np.ndarray:
    """LXT's relevance of the largest logit: per pixel, or per token, summed over its embedding."""
    family = FAMILIES[name]
    with patched(family.patches[composite]):
        model = build(name, dtype)
        for p in model.parameters():
            p.requires_grad = False
        x = sample(name, dtype)
        data = x if family.picture else model.get_input_embeddings()(x)
        data = data.detach().requires_grad_()
        scores = logits(model, **({"x": data} if family.picture else {"inputs_embeds": data}))
        scores.max(1).values.sum().backward()
    relevance = (data * data.grad).detach()
    return (relevance if family.picture else relevance.sum(-1)).numpy()
