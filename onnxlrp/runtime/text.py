"""Conversion of texts to the token ids that a model takes, with the part of the text that each id stands for."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxlrp.errors import InputError, OnnxLrpError
from onnxlrp.printable import listed
from onnxlrp.reprs import counted, cut
from onnxlrp.runtime.inputs import TensorSpec
from onnxlrp.strings import as_strings

Text = str | tuple[str, str]
"""A text, or a pair that a model reads together (question and context, premise and hypothesis)."""

FILES = ("tokenizer.json", "vocab.txt")
"""File names of a tokenizer beside its model; vocab.txt holds the word pieces of a BERT, one a line."""
_PADDINGS = ("[PAD]", "<pad>", "<|pad|>", "<|endoftext|>")
_MASKS = ("[MASK]", "<mask>", "<|mask|>")
# Inputs that accompany the ids, by the names that exporters give them, where "input_ids" is the ids' own name.
_COMPANIONS = {
    "attention_mask": "mask",
    "input_mask": "mask",
    "token_type_ids": "types",
    "segment_ids": "types",
    "position_ids": "positions",
}


@dataclasses.dataclass(frozen=True)
class Tokens:
    """Tokens of one text as the model sees it: a row of ids, padding included."""

    ids: tuple[int, ...]
    names: tuple[str, ...]
    """Tokens as the tokenizer writes them: `##ing`, `Ġthe`, `[CLS]`."""
    used: tuple[bool, ...]
    """False for padding."""
    text: str = ""
    """Text that was cut; for a pair, both texts with a tab between."""
    spans: tuple[tuple[int, int], ...] = ()
    """Characters of the text that each token stands for, `(start, end)`; empty for tokens without any ([CLS])."""
    words: tuple[int | None, ...] = ()
    """Number of the word that each token belongs to, as the tokenizer separates words."""
    types: tuple[int, ...] = ()
    """Number of the text that each token belongs to: 1 in the second text of a pair, else 0."""

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"<Tokens: {counted(len(self), 'token')}, {cut(' '.join(self.names), 100)}>"


class Tokenizer:
    """A tokenizer of the `tokenizers` package; its own padding is off, and `cut` pads no longer than necessary."""

    def __init__(self, inner: Any) -> None:
        module = _module()
        inner = getattr(inner, "_tokenizer", inner)  # unwraps the classes of tokenizers and transformers
        if not isinstance(inner, module.Tokenizer):
            raise InputError(
                f"a {type(inner).__name__} is no tokenizer: give tokenizer.json, vocab.txt or a tokenizers.Tokenizer"
            )
        self._inner = module.Tokenizer.from_str(inner.to_str())  # a copy, so that the caller's is not changed
        padding = self._inner.padding or {}
        known = [index for name in _PADDINGS if (index := self._inner.token_to_id(name)) is not None]
        self.padding: int | None = padding.get("pad_id", known[0] if known else None)
        """Id of the padding token; None if the tokenizer has none."""
        self._left = padding.get("direction") == "left"
        self._inner.no_padding()
        masks = (self._inner.token_to_id(name) for name in _MASKS)
        self.mask_token: int | None = next((index for index in masks if index is not None), None)
        """Id of the token that stands for a hidden word; None if the tokenizer has none."""

    @classmethod
    def read(cls, path: Path) -> Tokenizer:
        """Read a tokenizer.json, or the word pieces of a BERT, one a line. Raises InputError if the file is neither."""
        module = _module()
        try:
            content = path.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise InputError(f"the tokenizer '{path}' cannot be read: {_words(error)}") from error
        try:
            if path.suffix.lower() == ".txt":
                return cls(_word_pieces(content.split("\n")))
            return cls(module.Tokenizer.from_str(content))
        except Exception as error:  # the package raises bare Exceptions
            raise InputError(
                f"'{path}' is no tokenizer: it must be a tokenizer.json of the tokenizers package, or a vocab.txt of "
                f"word pieces, one a line: {_words(error)}"
            ) from error

    @property
    def names(self) -> list[str]:
        """Every token in the order of the ids."""
        return [self.name_of(index) for index in range(self._inner.get_vocab_size())]

    def sha256(self) -> str:
        """Return a hash that tells this tokenizer from others."""
        return hashlib.sha256(self._inner.to_str().encode()).hexdigest()

    def cut(self, texts: Sequence[Text], length: int | None = None) -> list[Tokens]:
        """Cut texts into tokens, padded to `length`, or, if `length` is None, to the longest text.

        Raises InputError if a text is longer, or if padding is needed and the tokenizer has none.
        """
        try:
            encodings = self._inner.encode_batch(list(texts))
        except Exception as error:  # the package raises bare Exceptions, for half a surrogate pair at least
            raise InputError(f"a text cannot be cut into tokens: {_words(error)}") from error
        longest = max(len(encoding.ids) for encoding in encodings)
        for number, encoding in enumerate(encodings, 1):
            if encoding.overflowing:
                limit = self._inner.truncation["max_length"]
                warnings.warn(f"text {number} is cut off after {limit} tokens, as its tokenizer says", stacklevel=2)
            if length is not None and len(encoding.ids) > length:
                raise InputError(
                    f"text {number} has {len(encoding.ids)} tokens, but the model takes {length}: shorten it"
                )
        length = longest if length is None else length
        if self.padding is None and any(len(encoding.ids) < length for encoding in encodings):
            raise InputError(
                "the tokenizer has no padding token, and the texts have different numbers of tokens: "
                "explain them one at a time"
            )
        return [self._tokens(text, encoding, length) for text, encoding in zip(texts, encodings, strict=True)]

    def name_of(self, index: int) -> str:
        """Write a token as the tokenizer does."""
        return self._inner.id_to_token(index) or str(index) if index >= 0 else str(index)

    def _tokens(self, text: Text, encoding: Any, length: int) -> Tokens:
        missing = length - len(encoding.ids)
        before, after = (missing, 0) if self._left else (0, missing)

        def padded(row: Iterable[Any], filling: Any) -> tuple[Any, ...]:
            return (*[filling] * before, *row, *[filling] * after)

        both, spans = text, encoding.offsets
        if isinstance(text, tuple):
            both = "\t".join(text)
            shift = len(text[0]) + 1
            second = [number == 1 for number in encoding.sequence_ids]
            spans = [(a + shift, b + shift) if later else (a, b) for (a, b), later in zip(spans, second, strict=True)]
        name = "" if self.padding is None else self.name_of(self.padding)
        return Tokens(
            ids=padded(encoding.ids, self.padding),
            names=padded(encoding.tokens, name),
            used=padded([True] * len(encoding.ids), False),
            text=str(both),
            spans=padded(map(tuple, spans), (0, 0)),
            words=padded(encoding.word_ids, None),
            types=padded(encoding.type_ids, 0),
        )


def find(given: Any, model: Any) -> Tokenizer:
    """Find the tokenizer that was given (a path or a `tokenizers.Tokenizer`), else the one that lies beside the model.

    Raises InputError if there is neither.
    """
    path = beside(model) if given is None else given
    if path is None:
        raise InputError(
            f"text needs the model's tokenizer, and no {' or '.join(FILES)} lies beside the model: give one with "
            "--tokenizer FILE (in Python: Explainer(..., tokenizer=...)), or give the ids"
        )
    return Tokenizer.read(Path(path)) if isinstance(path, (str, Path)) else Tokenizer(path)


def beside(model: Any) -> Path | None:
    """Find the tokenizer in the folder of a model's file, or, if that folder is called onnx, in its parent."""
    if not isinstance(model, (str, Path)):
        return None
    folder = Path(model).absolute().parent
    folders = [folder, *([folder.parent] if folder.name == "onnx" else [])]
    return next((place / name for place in folders for name in FILES if (place / name).is_file()), None)


def takes_text(spec: TensorSpec) -> bool:
    """Decide whether an input may hold the ids of tokens: whole numbers [texts, tokens]."""
    is_ids = spec.dtype is not None and spec.dtype.kind == "i" and spec.dtype.itemsize >= 4
    return is_ids and (spec.shape is None or len(spec.shape) == 2)


def goes_along(name: str) -> bool:
    """Decide whether an input accompanies the ids of tokens by its name, as attention_mask does."""
    return any(usual in name for usual in _COMPANIONS)


def parted(line: str) -> Text:
    """Split a line of a file at its tab into two texts that a model reads together; without one it is a single text."""
    first, tab, second = line.partition("\t")
    return (first, second) if tab and "\t" not in second else line


def as_texts(value: Any) -> list[Text] | None:
    """Convert a value for an input to a list of texts; None if it is something else, such as an array of numbers.

    Raises InputError if some of its items are texts and others are not.
    """
    if isinstance(value, np.ndarray) and value.dtype.kind in "OUST":
        value = (as_strings(value, "text") if value.dtype.kind == "S" else value).tolist()
    if isinstance(value, str):
        return [value]
    if not isinstance(value, (list, tuple)) or not value:
        return None
    texts = [tuple(one) if isinstance(one, list) else one for one in value]
    wrong = [index for index, one in enumerate(texts) if not isinstance(one, str) and not _is_pair(one)]
    if wrong and len(wrong) < len(texts):
        one = texts[wrong[0]]
        raise InputError(f"text {wrong[0] + 1} is {one!r:.40}, a {type(one).__name__}, not a string or a pair of them")
    return None if wrong else texts


def fill(
    texts: Mapping[str, Sequence[Text]],
    specs: Mapping[str, TensorSpec],
    given: Collection[str],
    tokenizer: Callable[[], Tokenizer],
) -> tuple[dict[str, np.ndarray], dict[str, list[Tokens]]]:
    """Make the arrays of ids for the texts of each input, and return them with their tokens.

    The inputs that accompany the ids (attention_mask, token_type_ids, position_ids, …) are filled too, unless they are
    among the `given`. Raises InputError for an input that takes no ids.
    """
    arrays: dict[str, np.ndarray] = {}
    tokens: dict[str, list[Tokens]] = {}
    for name, wanted in texts.items():
        spec = specs[name]
        if not takes_text(spec):
            fitting = [other.name for other in specs.values() if takes_text(other)]
            others = f"; those that do: {listed(fitting)}" if fitting else ""
            raise InputError(f"input {name!r} takes {spec}, not the ids of a text's tokens{others}")
        length = None if spec.shape is None or not isinstance(spec.shape[1], int) else spec.shape[1]
        cut = tokenizer().cut(wanted, length)
        if not len(cut[0]):
            raise InputError(f"the text for input {name!r} has no tokens")
        tokens[name] = cut
        arrays[name] = np.array([one.ids for one in cut], spec.dtype)
        for other, rows in _companions(name, specs, alone=len(texts) == 1).items():
            if other not in given and other not in texts:
                arrays[other] = rows(cut).astype(specs[other].dtype)
    return arrays, tokens


def read_ids(
    arrays: Mapping[str, Any], specs: Mapping[str, TensorSpec], tokenizer: Tokenizer | None
) -> dict[str, list[Tokens]]:
    """Make tokens of ids that were given as numbers; without a tokenizer they are named by their numbers."""
    padding = None if tokenizer is None else tokenizer.padding
    tokens: dict[str, list[Tokens]] = {}
    for name, array in arrays.items():
        if goes_along(name) or not takes_text(specs[name]) or np.ndim(array) != 2 or not np.size(array):
            continue
        for row in np.asarray(array).tolist():
            names = tuple(str(index) if tokenizer is None else tokenizer.name_of(index) for index in row)
            used = tuple(index != padding for index in row)
            tokens.setdefault(name, []).append(Tokens(tuple(row), names, used))
    return tokens


def ends(tokens: Mapping[str, Sequence[Tokens]]) -> np.ndarray | None:
    """Find the position of the last token that is no padding, per text of the first input, int64 [N]; None without
    texts."""
    rows = next(iter(tokens.values()), None)
    return None if rows is None else np.array([int(np.flatnonzero(row.used).max(initial=-1)) for row in rows])


def _companions(
    name: str, specs: Mapping[str, TensorSpec], alone: bool
) -> dict[str, Callable[[Sequence[Tokens]], np.ndarray]]:
    """Find the inputs that accompany the ids of input `name`, with the functions that fill them."""
    fillers: dict[str, Callable[[Sequence[Tokens]], np.ndarray]]
    fillers = {"mask": _mask, "types": _types, "positions": _positions}
    companions = {}
    for usual, kind in _COMPANIONS.items():
        ending = ":0" if name.endswith(":0") else ""  # TensorFlow's exporters append it
        other = name.replace("input_ids", usual) if "input_ids" in name else usual + ending if alone else ""
        spec = specs.get(other)
        if spec is not None and not spec.optional and spec.dtype is not None and spec.dtype.kind in "iubf":
            companions[other] = fillers[kind]
    return companions


def _mask(tokens: Sequence[Tokens]) -> np.ndarray:
    return np.array([one.used for one in tokens])


def _types(tokens: Sequence[Tokens]) -> np.ndarray:
    return np.array([one.types for one in tokens])


def _positions(tokens: Sequence[Tokens]) -> np.ndarray:
    """Number the tokens from the first that is no padding; padding on the left is at 0, on the right at the last
    position."""
    return np.maximum(np.cumsum(_mask(tokens), axis=1) - 1, 0)


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, str) for part in value)


def _word_pieces(lines: Sequence[str]) -> Any:
    """Make BERT's tokenizer of its vocabulary; if the vocabulary has no capital letters, texts are put in small letters
    first."""
    implementations = importlib.import_module("tokenizers.implementations")
    pieces = {line.rstrip("\r"): index for index, line in enumerate(lines) if line.strip()}
    missing = [name for name in ("[UNK]", "[CLS]", "[SEP]") if name not in pieces]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    small = not any(piece != piece.lower() for piece in pieces if not piece.startswith("["))
    return implementations.BertWordPieceTokenizer(pieces, lowercase=small)


def _module() -> Any:
    """Import the `tokenizers` package. Raises OnnxLrpError that says what to install if it is missing."""
    try:
        return importlib.import_module("tokenizers")
    except ImportError as error:
        raise OnnxLrpError("text needs the tokenizers package: pip install 'onnxlrp[text]', or give the ids") from error


def _words(error: Exception) -> str:
    return " ".join((getattr(error, "strerror", None) or str(error)).split())[:200]
