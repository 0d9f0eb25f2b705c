"""Text as ids: what a tokenizer makes of it, which inputs are filled, and what is said where that cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer as Inner
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

from onnxlrp.errors import InputError, OnnxLrpError
from onnxlrp.runtime import text
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.runtime.text import Tokenizer

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "##s", "sleep", ".", "naive"]


def port(name="input_ids", *shape, dtype=np.int64, optional=False):
    return TensorSpec(name, np.dtype(dtype), shape or ("N", "T"), optional)


def ports(*each):
    return {one.name: one for one in each}


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(PIECES) + "\n")
    return path


@pytest.fixture
def tokenizer(vocabulary):
    return Tokenizer.read(vocabulary)


def byte_level() -> Inner:
    """Every byte is a token; no padding token, no special ones."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Inner(models.BPE({letter: index for index, letter in enumerate(alphabet)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return inner


def test_word_pieces_and_where_they_stand(tokenizer):
    long, short = tokenizer.cut(["The cats  sleep.", "Naïve"])
    assert long.ids == (2, 4, 5, 6, 7, 8, 3) and long.names[3] == "##s" and all(long.used)
    assert [long.text[a:b] for a, b in long.spans] == ["", "The", "cat", "s", "sleep", ".", ""]
    assert long.words[2] == long.words[3] != long.words[4]
    assert short.ids == (2, 9, 3, 0, 0, 0, 0) and short.used == (True,) * 3 + (False,) * 4


def test_a_vocabulary_with_capitals_keeps_them(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join([*PIECES, "The"]))
    assert Tokenizer.read(path).cut(["The the"])[0].ids == (2, 10, 4, 3)


def test_a_pair(tokenizer):
    (pair,) = tokenizer.cut([("the cat", "cats")])
    assert pair.ids == (2, 4, 5, 3, 5, 6, 3) and pair.types == (0, 0, 0, 0, 1, 1, 1)
    assert [pair.text[a:b] for a, b in pair.spans] == ["", "the", "cat", "", "cat", "s", ""]


def test_a_tokenizer_json_keeps_its_cut_but_not_its_padding(tokenizer, tmp_path):
    inner = Inner.from_str(tokenizer._inner.to_str())
    inner.enable_padding(direction="left", pad_id=1, pad_token="[UNK]", length=64)
    inner.enable_truncation(4)
    inner.save(str(tmp_path / "tokenizer.json"))
    read = Tokenizer.read(tmp_path / "tokenizer.json")
    with pytest.warns(UserWarning, match="text 1 is cut off after 4 tokens"):
        first, second = read.cut(["the cats sleep", "the"])
    assert first.ids == (2, 4, 5, 3) and second.ids == (1, 2, 4, 3) and second.used == (False, True, True, True)
    assert text.ends({"input_ids": [first, second]}).tolist() == [3, 3]
    assert inner.padding["length"] == 64 and Tokenizer(inner).padding == 1  # what was given stays as it is


def test_the_inputs_that_go_along_are_filled(tokenizer):
    known = ports(
        port(),
        port("attention_mask", dtype=np.float32),
        port("token_type_ids"),
        port("position_ids", dtype=np.int32),
        port("labels", optional=True),
    )
    arrays, tokens = text.fill({"input_ids": [("the", "cat"), "the"]}, known, ["input_ids"], lambda: tokenizer)
    assert arrays["input_ids"].tolist() == [[2, 4, 3, 5, 3], [2, 4, 3, 0, 0]]
    assert arrays["attention_mask"].tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    assert arrays["attention_mask"].dtype == np.float32 and arrays["position_ids"].dtype == np.int32
    assert arrays["token_type_ids"].tolist() == [[0, 0, 0, 1, 1], [0] * 5]
    assert arrays["position_ids"].tolist() == [[0, 1, 2, 3, 4], [0, 1, 2, 2, 2]]
    assert set(arrays) == {"input_ids", "attention_mask", "token_type_ids", "position_ids"}
    assert text.ends(tokens).tolist() == [4, 2]
    arrays, _ = text.fill({"input_ids": ["the"]}, known, ["input_ids", "attention_mask"], lambda: tokenizer)
    assert "attention_mask" not in arrays


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("input_ids:0", "input_mask:0"),
        ("ids", "attention_mask"),
        ("first_input_ids", "first_attention_mask"),
        ("decoder_input_ids", "decoder_attention_mask"),
    ],
)
def test_exporters_names(tokenizer, name, other):
    arrays, _ = text.fill({name: ["the cat"]}, ports(port(name), port(other)), [name], lambda: tokenizer)
    assert arrays[other].tolist() == [[1] * 4]


def test_two_texts_share_no_mask(tokenizer):
    known = ports(port("first"), port("second"), port("attention_mask"))
    arrays, _ = text.fill({"first": ["the"], "second": ["cat cat"]}, known, [], lambda: tokenizer)
    assert set(arrays) == {"first", "second"} and arrays["second"].shape == (1, 4)


def test_a_static_length_is_filled_and_never_exceeded(tokenizer):
    known = ports(port("input_ids", "N", 4))
    arrays, _ = text.fill({"input_ids": ["the"]}, known, [], lambda: tokenizer)
    assert arrays["input_ids"].tolist() == [[2, 4, 3, 0]]
    with pytest.raises(InputError, match="text 1 has 5 tokens, but the model takes 4"):
        text.fill({"input_ids": ["the cats"]}, known, [], lambda: tokenizer)


def test_without_a_padding_token():
    plain = Tokenizer(byte_level())
    assert len(plain.cut(["ab"])[0]) == 2
    with pytest.raises(InputError, match="no padding token"):
        plain.cut(["ab", "a"])


def test_bytes_of_one_letter_share_its_span():
    (row,) = Tokenizer(byte_level()).cut(["é!"])
    assert len(row) == 3 and row.spans == ((0, 1), (0, 1), (1, 2))


def test_what_takes_no_text(tokenizer):
    known = ports(port("image", "N", 3, 8, 8, dtype=np.float32), port())
    with pytest.raises(InputError, match=r"'image' takes float32 .* those that do: input_ids"):
        text.fill({"image": ["the cat"]}, known, [], lambda: tokenizer)


def test_an_empty_text():
    inner = byte_level()
    with pytest.raises(InputError, match="has no tokens"):
        text.fill({"input_ids": [""]}, ports(port()), [], lambda: Tokenizer(inner))


def test_ids_by_name(tokenizer):
    ids = {"input_ids": np.array([[2, 4, 3, 0]]), "attention_mask": np.ones((1, 4), np.int64)}
    known = ports(port(), port("attention_mask"))
    (row,) = text.read_ids(ids, known, tokenizer)["input_ids"]
    assert row.names == ("[CLS]", "the", "[SEP]", "[PAD]") and row.used == (True, True, True, False)
    named = text.read_ids({**ids, "input_ids": np.array([[2, 99999, -7]])}, known, tokenizer)
    assert named["input_ids"][0].names == ("[CLS]", "99999", "-7") and list(named) == ["input_ids"]
    assert text.read_ids(ids, known, None)["input_ids"][0].names == ("2", "4", "3", "0")


def test_found_beside_the_model(vocabulary, tmp_path):
    assert text.beside(str(tmp_path / "model.onnx")) == vocabulary
    (tmp_path / "tokenizer.json").write_text("{}")
    assert text.beside(tmp_path / "onnx" / "model.onnx") == tmp_path / "tokenizer.json"
    assert text.beside(tmp_path / "other" / "model.onnx") is None and text.beside(b"bytes") is None
    with pytest.raises(InputError, match=r"no tokenizer.json or vocab.txt lies beside the model"):
        text.find(None, tmp_path / "other" / "model.onnx")


@pytest.mark.parametrize(
    ("name", "content"),
    [("tokenizer.json", "{}"), ("tokenizer.json", "nonsense"), ("vocab.txt", "the\ncat\n"), ("nothing.json", None)],
)
def test_what_is_no_tokenizer(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=name):
        Tokenizer.read(tmp_path / name)


def test_objects():
    assert Tokenizer(byte_level()).cut(["a"])
    with pytest.raises(InputError, match="a dict is no tokenizer"):
        Tokenizer({})


def test_without_the_package(tokenizer, vocabulary, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    with pytest.raises(OnnxLrpError, match=r"onnxlrp\[text\]"):
        Tokenizer.read(vocabulary)


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("a", ["a"]),
        (["a", ("b", "c")], ["a", ("b", "c")]),
        (np.array(["a", "b"]), ["a", "b"]),
        (np.array([["a", "b"]], object), [("a", "b")]),
        (np.ones((1, 2)), None),
        ([[1, 2]], None),
        ([], None),
        (1, None),
    ],
)
def test_what_is_text(value, texts):
    assert text.as_texts(value) == texts


def test_sentence_pieces_take_the_blank_before_a_word(tmp_path):
    """As Llama's tokenizers do: the text is not parted into words before the pieces are found."""
    inner = Inner(models.Unigram([("<unk>", 0.0), ("▁a", -1.0), ("▁b", -1.0), ("c", -1.0)], 0))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.post_processor = processors.TemplateProcessing(single="$A", pair=None, special_tokens=[])
    (row,) = Tokenizer(inner).cut(["a bc"])
    assert row.names == ("▁a", "▁b", "c")
    assert [row.text[a:b].strip() for a, b in row.spans] == ["a", "b", "c"]
