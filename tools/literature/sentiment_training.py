"""An LSTM and a transformer that tell good from bad reviews, on snippets that people rated (vaderSentiment)."""

from __future__ import annotations

import io
import re
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tools.literature import training
from tools.literature.package_files import source_archive

SETS = ("movieReviewSnippets", "amazonReviewSnippets", "tweets")
LEAST_RATING, LENGTH, LEAST_COUNT = 1.0, 40, 3
"""Least |rating| of a snippet, of 4; words of a snippet; times that training has a known word at least."""
WIDTH, HEADS, BLOCKS, DROPPED = 32, 4, 2, 0.4
PAD, UNKNOWN, FIRST = 0, 1, 2
"""Id of padding and of deleted words, of unknown words, and of the first word of the vocabulary."""


def train(folder: Path, *, short: bool) -> None:
    """Train both networks on four fifths of the snippets; write them, the rest, the vocabulary and the lexicon."""
    training.start()
    texts, labels, lexicon = _rated()
    test = np.random.default_rng(0).permutation(len(texts)) < len(texts) // 5
    known = Counter(word for text, held in zip(texts, test) if not held for word in text)
    vocabulary = ["", "?", *sorted(word for word, count in known.items() if count >= LEAST_COUNT)]
    ids = _numbered(texts, vocabulary)
    rounds = 4 if short else 6
    for name, network in (("lstm", Lstm(len(vocabulary))), ("transformer", Transformer(len(vocabulary)))):
        batches = training.shuffled(ids[~test], labels[~test], 64)
        training.fit(network, batches, rounds * int((~test).sum()) // 64, rate=3e-3, decay=0.05)
        training.export(network, folder / f"{name}.onnx", {"ids": ids})
    np.savez(folder / "snippets.npz", ids=ids[test], labels=labels[test], vocabulary=vocabulary, valence=np.array(
        [lexicon.get(word, np.nan) for word in vocabulary]))  # fmt: skip


def _rated() -> tuple[list[list[str]], np.ndarray, dict[str, float]]:
    """Read the words of snippets that are clearly good (1) or bad (0), and the ratings of single words."""
    archive = source_archive("vader*entiment-3.3.2.tar.gz", "vaderSentiment==3.3.2")
    with tarfile.open(archive) as outer:
        inner = _member(outer, "hutto_ICWSM_2014.tar.gz")
        lines = _member(outer, "/vader_lexicon.txt").decode("utf-8").splitlines()
    lexicon = {line.split("\t")[0]: float(line.split("\t")[1]) for line in lines}
    texts, labels = [], []
    with tarfile.open(fileobj=io.BytesIO(inner)) as files:
        for name in SETS:
            for line in _member(files, f"{name}_GroundTruth.txt").decode("utf-8", "replace").splitlines():
                _, rating, text = line.split("\t")[:3]
                if abs(float(rating)) > LEAST_RATING:
                    texts.append(re.findall(r"[a-z']+|[!?.,]", text.lower())[:LENGTH])
                    labels.append(int(float(rating) > 0))
    return texts, np.array(labels), lexicon


def _member(archive: tarfile.TarFile, ending: str) -> bytes:
    """Read the file of an archive whose name ends so."""
    name = next(name for name in archive.getnames() if name.endswith(ending))
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


def _numbered(texts: list[list[str]], vocabulary: list[str]) -> np.ndarray:
    """Write texts as ids [N, LENGTH], with padding before the first word."""
    numbers = {word: number for number, word in enumerate(vocabulary) if number >= FIRST}
    ids = np.full((len(texts), LENGTH), PAD, np.int64)
    for row, words in zip(ids, texts):
        if words:
            row[-len(words) :] = [numbers.get(word, UNKNOWN) for word in words]
    return ids


class Lstm(nn.Module):
    """Bidirectional LSTM whose last states give two scores, as Arras et al. 2017 take it."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, WIDTH, padding_idx=PAD)
        self.read = nn.LSTM(WIDTH, WIDTH, batch_first=True, bidirectional=True)
        self.drop, self.classify = nn.Dropout(DROPPED), nn.Linear(2 * WIDTH, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        states, _ = self.read(self.drop(self.words(ids)))
        last = torch.cat([states[:, -1, :WIDTH], states[:, 0, WIDTH:]], 1)
        return self.classify(self.drop(last))


class Block(nn.Module):
    """Attention and a dense part with GELU, each upon its layer norm and beside a skip."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2, self.drop = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH), nn.Dropout(DROPPED)
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.dense = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        normed = self.norm1(x)
        query, key, value = (self._heads(layer(normed)) for layer in (self.query, self.key, self.value))
        weights = torch.softmax(query @ key.transpose(-1, -2) / (WIDTH / HEADS) ** 0.5 + mask, -1)
        x = x + self.drop(self.out((weights @ value).transpose(1, 2).flatten(2)))
        return x + self.drop(self.dense(self.norm2(x)))

    @staticmethod
    def _heads(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(2, (HEADS, -1)).transpose(1, 2)


class Transformer(nn.Module):
    """Two blocks of attention; two scores are read off a first token of its own, and padding is masked."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, WIDTH, padding_idx=PAD)
        self.places, self.first = (nn.Parameter(torch.randn(1, n, WIDTH) * 0.1) for n in (LENGTH, 1))
        self.blocks, self.drop = nn.ModuleList(Block() for _ in range(BLOCKS)), nn.Dropout(DROPPED)
        self.norm, self.classify = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        words = self.drop(self.words(ids) + self.places)
        x = torch.cat([self.first.expand(ids.size(0), -1, -1), words], 1)
        mask = nn.functional.pad((ids == PAD).float(), (1, 0))[:, None, None] * -1e4
        for block in self.blocks:
            x = block(x, mask)
        return self.classify(self.norm(x[:, 0]))
