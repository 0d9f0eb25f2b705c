"""Texts as they are shown: pieces and words, in a terminal and as HTML."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from onnxlrp.runtime import Explanation
from onnxlrp.runtime.text import Tokens
from onnxlrp.view import tables
from onnxlrp.view.page import page
from onnxlrp.view.summary import summarise
from onnxlrp.view.tokens import Piece, limit_of_texts, pieces

CATS = Tokens(
    ids=(2, 4, 5, 6, 7, 3, 0),
    names=("[CLS]", "the", "cat", "##s", "<b>", "[SEP]", "[PAD]"),
    used=(True,) * 6 + (False,),
    text="The cats\n <b>",
    spans=((0, 0), (0, 3), (4, 7), (7, 8), (10, 13), (0, 0), (0, 0)),
    words=(None, 0, 1, 1, 2, None, None),
)
RELEVANCE = np.array([0.5, 1, -2, 3, 0.25, -0.5, 0])


def joined(found) -> str:
    return "".join(piece.gap + piece.text for piece in found)


def explanation(relevance, tokens, **changes) -> Explanation:
    fields = {"outputs": {}, "relevance_at": {}, "target": np.array([1]), "score": np.array([2.5]), "ledger": None}
    return Explanation(relevance=relevance, tokens=tokens, **{**fields, **changes})


def test_pieces_stand_as_in_the_text_and_padding_is_left_out():
    found = pieces(CATS, RELEVANCE)
    assert joined(found) == "[CLS] The cats <b> [SEP]"
    assert [piece.relevance for piece in found] == RELEVANCE[:6].tolist()
    assert sum(piece.relevance for piece in found) == RELEVANCE.sum()


def test_words_add_up():
    found = pieces(CATS, RELEVANCE, words=True, position=3)
    assert [piece.text for piece in found] == ["[CLS]", "The", "cats", "<b>", "[SEP]"]
    assert found[2].relevance == 1 and [piece.marked for piece in found] == [False, False, True, False, False]


def test_words_end_at_blanks_also_where_the_tokenizer_parts_none():
    row = Tokens((0, 1, 2), ("▁a", "▁b", "c"), (True,) * 3, "a bc", ((0, 1), (1, 3), (3, 4)), (0, 0, 0))
    assert [piece.text for piece in pieces(row, np.ones(3), words=True)] == ["a", "bc"]
    assert joined(pieces(row, np.ones(3))) == "a bc"


def test_bytes_of_one_letter_are_one_piece():
    row = Tokens((0, 1, 2), ("Ã", "©", "!"), (True,) * 3, "é!", ((0, 1), (0, 1), (1, 2)), (0, 0, 1))
    found = pieces(row, np.array([1.0, 2.0, 4.0]))
    assert [(piece.text, piece.relevance) for piece in found] == [("é", 3), ("!", 4)]


def test_ids_without_a_text():
    row = Tokens((7, 8), ("the", "cat"), (True, True))
    assert joined(pieces(row, np.ones(2), words=True)) == "the cat"


def test_limit():
    assert limit_of_texts([[Piece("a", -3)], [Piece("b", 2), Piece("c", float("nan"))]]) == 3
    assert limit_of_texts([[Piece("a", 0)]]) == 1 and limit_of_texts([]) == 1


def test_texts_of_samples_and_targets():
    two = np.stack([RELEVANCE, 2 * RELEVANCE])[None]  # one sample, two targets
    done = explanation({"ids": two}, {"ids": [CATS]}, target=np.array([[1, 0]]), score=np.ones((1, 2)))
    first, second = summarise(done, {})
    assert first.texts["ids"][1].relevance == 1 and second.texts["ids"][1].relevance == 2
    assert [one.value for one in first.features][:2] == ["s", "cat"]


def test_one_text_beside_several():
    done = explanation(
        {"query": RELEVANCE[None], "text": np.stack([RELEVANCE, RELEVANCE])},
        {"query": [CATS], "text": [CATS, CATS]},
        target=np.array([0, 0]),
        score=np.ones(2),
    )
    assert all("text" in sample.texts for sample in summarise(done, {}))


def test_position():
    done = explanation({"ids": RELEVANCE[None]}, {"ids": [CATS]}, position=np.array([4]))
    (sample,) = summarise(done, {}, labels=["a", "dog"])
    assert sample.position == 4 and [piece.marked for piece in sample.texts["ids"]].index(True) == 4
    shown = io.StringIO()
    Console(file=shown, width=200).print(tables.samples_table([sample]))
    assert "position" in shown.getvalue() and "dog" in shown.getvalue()
    assert "position 4, class 1 dog, score 2.5" in page([sample], "t") and 'class="here"' in page([sample], "t")


def test_in_a_terminal():
    (sample,) = summarise(explanation({"ids": RELEVANCE[None]}, {"ids": [CATS]}), {})
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True, color_system="truecolor", markup=False)
    console.print(tables.texts_table(sample))
    shown = stream.getvalue()
    assert "2.25" in shown and " -3 " in shown and " +3 " in shown
    colours = re.findall(r"48;2;(\d+;\d+;\d+)m(?:The|cat|s)\b", shown)
    assert len(colours) == 3 and colours[1:] == ["46;114;162", "140;0;26"]
    assert [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()][3].endswith("<b> [SEP]")


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.words, self.titles = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.titles += [value for name, value in attrs if name == "title"]

    def handle_data(self, data):
        self.words.append(data)


def test_as_html():
    content = page(summarise(explanation({"a<b>": RELEVANCE[None]}, {"a<b>": [CATS]}), {}), title="5 < 6")
    read = Page()
    read.feed(content)
    words = "".join(read.words)
    assert "[CLS] The cats <b> [SEP]" in words and "5 < 6" in words and "a<b>: Σ relevance 2.25" in words
    assert "b" not in read.tags and not {"script", "img", "link", "iframe"} & set(read.tags)
    assert not re.search(r"https?:|url\(|@import| on\w+=", content)
    assert read.titles[:4] == ["0.5", "1", "-2", "3"]
    assert "color-scheme: light dark" in content and "-3</span>" in content and ">3</span>" in content


@pytest.mark.parametrize("relevance", [np.zeros(7), np.full(7, np.nan)])
def test_nothing_to_see(relevance):
    assert "<p>" in page(summarise(explanation({"ids": relevance[None]}, {"ids": [CATS]}), {}), "Relevance")
