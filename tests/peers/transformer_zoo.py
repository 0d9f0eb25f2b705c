"""Small seeded transformers of the architectures that people deploy, as both torch exporters write them."""

from __future__ import annotations

import dataclasses
import functools
import io
import sys
import types
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")
# torchvision's operators for meta tensors cost seconds to register and fail against some builds of torch
sys.modules.setdefault("torchvision._meta_registrations", types.ModuleType("torchvision._meta_registrations"))
transformers = pytest.importorskip("transformers")

VOCABULARY, TOKENS, HIDDEN_TOKENS = 61, 7, 2
"""The second text of every sample ends in this many tokens that its mask hides."""

_SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
_TEXT = {**_SIZES, "vocab_size": VOCABULARY, "max_position_embeddings": 40}
_DECODER = {
    **_TEXT,
    "num_key_value_heads": 2,
    "use_cache": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_PICTURE = {**_SIZES, "image_size": 32, "patch_size": 8}


def _ids() -> Any:
    ids = torch.randint(3, VOCABULARY - 1, (2, TOKENS))
    ids[:, 3] = VOCABULARY - 1  # where CLIP takes the text from
    return ids


def _mask() -> Any:
    mask = torch.ones(2, TOKENS, dtype=torch.long)
    mask[1, -HIDDEN_TOKENS:] = 0
    return mask


def _text() -> dict[str, Any]:
    return {"input_ids": _ids(), "attention_mask": _mask()}


def _picture() -> dict[str, Any]:
    return {"pixel_values": torch.randn(2, 3, 32, 32)}


@dataclasses.dataclass(frozen=True)
class Architecture:
    """How to build it, what goes in, and the output that is explained."""

    build: Callable[[], Any]
    inputs: Callable[[], dict[str, Any]]
    output: str = "logits"


def _of(model: str, config: str, inputs: Callable[[], dict[str, Any]], output: str = "logits", **sizes: Any):
    return Architecture(lambda: getattr(transformers, model)(getattr(transformers, config)(**sizes)), inputs, output)


ZOO: dict[str, Architecture] = {
    "vit": _of("ViTForImageClassification", "ViTConfig", _picture, **_PICTURE),
    "swin": _of(
        "SwinForImageClassification",
        "SwinConfig",
        _picture,
        image_size=32,
        patch_size=2,
        embed_dim=16,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
    ),
    "convnext": _of(
        "ConvNextForImageClassification",
        "ConvNextConfig",
        _picture,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        num_stages=2,
    ),
    "bert": _of("BertForSequenceClassification", "BertConfig", _text, **_TEXT),
    "roberta": _of("RobertaForSequenceClassification", "RobertaConfig", _text, **_TEXT),
    "distilbert": _of(
        "DistilBertForSequenceClassification",
        "DistilBertConfig",
        _text,
        vocab_size=VOCABULARY,
        dim=32,
        n_layers=2,
        n_heads=4,
        hidden_dim=48,
    ),
    "deberta": _of(
        "DebertaV2ForSequenceClassification",
        "DebertaV2Config",
        _text,
        **{**_TEXT, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False},
    ),
    "t5_encoder": _of(
        "T5EncoderModel",
        "T5Config",
        _text,
        "last_hidden_state",
        vocab_size=VOCABULARY,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
    ),
    "t5": _of(
        "T5ForConditionalGeneration",
        "T5Config",
        lambda: {**_text(), "decoder_input_ids": _ids()},
        vocab_size=VOCABULARY,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        use_cache=False,
    ),
    "gpt2": _of(
        "GPT2LMHeadModel",
        "GPT2Config",
        _text,
        vocab_size=VOCABULARY,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=40,
        use_cache=False,
    ),
    "opt": _of(
        "OPTForCausalLM",
        "OPTConfig",
        _text,
        **{k: v for k, v in _TEXT.items() if k != "intermediate_size"},
        ffn_dim=48,
        word_embed_proj_dim=32,
        use_cache=False,
    ),
    "bloom": _of(
        "BloomForCausalLM",
        "BloomConfig",
        _text,
        vocab_size=VOCABULARY,
        hidden_size=32,
        n_layer=2,
        n_head=4,
        use_cache=False,
    ),
    "llama": _of("LlamaForCausalLM", "LlamaConfig", _text, **_DECODER),
    "llama_positions": _of(
        "LlamaForCausalLM",
        "LlamaConfig",
        lambda: {**_text(), "position_ids": torch.arange(TOKENS).expand(2, -1)},
        **_DECODER,
    ),
    "qwen2": _of("Qwen2ForCausalLM", "Qwen2Config", _text, **_DECODER),
    "qwen3": _of("Qwen3ForCausalLM", "Qwen3Config", _text, **_DECODER, head_dim=8),
    "gemma2": _of(
        "Gemma2ForCausalLM",
        "Gemma2Config",
        _text,
        **{**_DECODER, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 4, "attn_implementation": "eager"},
    ),
    "gemma3": _of(
        "Gemma3ForCausalLM",
        "Gemma3TextConfig",
        _text,
        **{**_DECODER, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 4},
    ),
    "mixtral": _of(
        "MixtralForCausalLM",
        "MixtralConfig",
        _text,
        **{**_DECODER, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "qwen3_moe": _of(
        "Qwen3MoeForCausalLM",
        "Qwen3MoeConfig",
        _text,
        **{**_DECODER, "head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
        norm_topk_prob=True,
    ),
    "whisper": _of(
        "WhisperForConditionalGeneration",
        "WhisperConfig",
        lambda: {"input_features": torch.randn(2, 8, 40), "decoder_input_ids": _ids()},
        vocab_size=VOCABULARY,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        num_mel_bins=8,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_source_positions=20,
        max_target_positions=20,
        use_cache=False,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    ),
    "wav2vec2": _of(
        "Wav2Vec2ForSequenceClassification",
        "Wav2Vec2Config",
        lambda: {"input_values": torch.randn(2, 400)},
        **{**_SIZES, "conv_dim": (16, 16), "conv_stride": (5, 2), "conv_kernel": (10, 3)},
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=4,
        classifier_proj_size=16,
    ),
    "clip": _of(
        "CLIPModel",
        "CLIPConfig",
        lambda: {**_text(), **_picture()},
        "logits_per_image",
        text_config={**_TEXT, "eos_token_id": 2},
        vision_config=_PICTURE,
        projection_dim=16,
    ),
}
NOT_BY_DYNAMO = {"mixtral": "torch.export cannot trace its loop over the experts that were hit"}


def build(name: str, *, biased: bool = True) -> tuple[Any, dict[str, Any]]:
    """The model, seeded, and a sample; without `biased`, all that a sum could absorb relevance by is 0: biases, shifts
    of norms, position tables, class tokens."""
    torch.manual_seed(0)
    model, inputs = ZOO[name].build().eval(), ZOO[name].inputs()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if p.numel() == 0:
                continue
            size = 0.5 if "embed" in key else 1 / np.sqrt(p[0].numel()) if p.dim() > 1 else 0.1
            noise = torch.randn(p.shape, generator=generator) * size
            p.copy_(1 + noise if p.dim() == 1 and key.endswith("weight") else noise)
            constant = key.endswith("bias") or any(part in key for part in _ADDED)
            if not biased and constant:
                p.zero_()
        if not biased:
            for key, table in model.named_buffers():
                if any(part in key for part in _ADDED) and table.is_floating_point():
                    table.zero_()
    return model, inputs


_ADDED = (
    "position_embedding",
    "embed_positions",
    "token_type_embedding",
    "cls_token",
    "class_embedding",
    "wpe",
    "relative_attention_bias",
    "relative_position_bias_table",
)


class Exported(torch.nn.Module):
    """The model with its inputs by position and one output."""

    def __init__(self, model: Any, names: list[str], output: str) -> None:
        super().__init__()
        self.model, self.names, self.output = model, names, output

    def forward(self, *inputs: Any) -> Any:
        return getattr(self.model(**dict(zip(self.names, inputs, strict=True)), return_dict=True), self.output)


@functools.cache
def export(
    name: str, *, dynamo: bool, biased: bool = True, half: bool = False
) -> tuple[onnx.ModelProto, dict[str, Any], Any]:
    """ONNX with symbolic batch and length where the exporter can, a sample, and torch's own output."""
    model, inputs = build(name, biased=biased)
    model = model.half() if half else model
    module = Exported(model, list(inputs), ZOO[name].output)
    names = {"input_names": list(inputs), "output_names": ["scores"]}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        scores = module(*inputs.values()).numpy()
        if dynamo:
            proto = torch.onnx.export(module, tuple(inputs.values()), dynamo=True, verbose=False, **names).model_proto
        else:
            axes = {k: {0: "N", 1: "T"} if v.dtype == torch.long else {0: "N"} for k, v in inputs.items()}
            buffer = io.BytesIO()
            torch.onnx.export(
                module, tuple(inputs.values()), buffer, dynamo=False, opset_version=17, dynamic_axes=axes, **names
            )
            proto = onnx.load_from_string(buffer.getvalue())
    return proto, {k: v.numpy() for k, v in inputs.items()}, scores
