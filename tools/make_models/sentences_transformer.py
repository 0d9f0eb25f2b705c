"""Transformer that says what a generated review thinks: writes models/sentences_transformer."""

import numpy as np
import torch
from attention_block import Block
from common import MEASURED, folder, save_lines
from suite_training import SAMPLES, accuracy, start, train, write
from torch import nn

STEPS, WIDTH, HEADS, LENGTH = 3000, 32, 4, 24
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
THINGS = ("food", "room", "staff", "view", "price", "music", "garden", "coffee")
GOOD = ("good", "lovely", "great", "excellent", "friendly", "pleasant", "charming", "fine")
BAD = ("bad", "awful", "poor", "terrible", "rude", "dull", "dirty", "cold")
PLAIN = ("new", "old", "large", "small", "white", "local", "usual", "simple")
FILLERS = ("really", "very", "quite", "so", "rather", "indeed", "today", "again")
WORDS = ("the", "was", "not", "and", "but", "we", "found", "that")
VOCABULARY = (*SPECIAL, *WORDS, *THINGS, *GOOD, *BAD, *PLAIN, *FILLERS)
IDS = {word: number for number, word in enumerate(VOCABULARY)}


class Reviews:
    """Draws reviews as ids [N, 24], and their opinion: 0 none, 1 good, 2 bad.

    "[CLS] we found that the food was really large but the room was not so lovely [SEP]" is bad: at most one clause has
    an opinion, and a "not" turns what follows it.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def __call__(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        pairs = [self._draw() for _ in range(count)]
        return np.stack([ids for ids, _ in pairs]), np.array([label for _, label in pairs])

    def _draw(self) -> tuple[np.ndarray, int]:
        word, turned = int(self._random.integers(3)), bool(self._random.random() < 0.5)
        clauses = [self._clause(word, turned), self._clause(0, bool(self._random.random() < 0.5))]
        first, second = self._random.permutation(2)
        words = ["[CLS]", *clauses[first], self._random.choice(("and", "but")), *clauses[second], "[SEP]"]
        ids = np.zeros(LENGTH, np.int64)
        ids[: len(words)] = [IDS[one] for one in words]
        return ids, (0, 2, 1)[word] if turned else word

    def _clause(self, opinion: int, turned: bool) -> list[str]:
        """Draw a clause with a word of this opinion, perhaps turned by a "not"."""
        word = self._random.choice((PLAIN, GOOD, BAD)[opinion])
        fillers = [self._random.choice(FILLERS)] if self._random.random() < 0.6 else []
        start = ["we", "found", "that"] if self._random.random() < 0.3 else []
        return [*start, "the", self._random.choice(THINGS), "was", *(["not"] if turned else []), *fillers, word]


class Transformer(nn.Module):
    """Network from ids to three scores, read off the first token; padding (id 0) is masked."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(len(VOCABULARY), WIDTH)
        self.places = nn.Parameter(torch.randn(1, LENGTH, WIDTH) * 0.1)
        self.blocks = nn.ModuleList([Block(WIDTH, HEADS), Block(WIDTH, HEADS)])
        self.norm, self.classify = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        mask = (input_ids == 0)[:, None, None].float() * -1e4
        x = self.words(input_ids) + self.places
        for block in self.blocks:
            x = block(x, mask)
        return self.classify(self.norm(x[:, 0]))


def main() -> None:
    start()
    network = train(Transformer(), Reviews(0), STEPS)
    ids, labels = Reviews(1)(SAMPLES + MEASURED)
    found = write("sentences_transformer", network, {"input_ids": ids}, labels, "logits")
    accuracy("sentences_transformer", found, labels)
    save_lines(folder("sentences_transformer") / "vocab.txt", list(VOCABULARY))


if __name__ == "__main__":
    main()
