from __future__ import annotations

import numpy as np
from matplotlib.patches import FancyBboxPatch

from onnxlrp.runtime.text import Tokens
from onnxlrp.view.figures.text_figure import placed
from onnxlrp.view.tokens import Piece
from tests.view.figures.parts import explained, words

TEXT = "unhappy cats"
TOKENS = Tokens((1, 2, 3, 0), ("un", "##happy", "cats", "[PAD]"), (True, True, True, False), TEXT,
                ((0, 2), (2, 7), (8, 12), (0, 0)), (0, 0, 1, None))  # fmt: skip


def test_pieces_of_a_word_are_joined_and_padding_is_left_out():
    done = explained({"ids": np.array([[1.0, -3.0, 4.0, 9.0]], np.float32)}, tokens={"ids": [TOKENS]})
    figure = done.plot()
    boxes = [patch for patch in figure.findobj(FancyBboxPatch) if patch.get_gid()]
    assert [box.get_gid() for box in boxes] == ["-2", "4"]
    against, for_it = (box.get_facecolor() for box in boxes)
    assert against[2] > against[0] and for_it[0] > for_it[2]
    assert "unhappy" in words(figure) and "[PAD]" not in words(figure)


def test_lines_break_between_words():
    pieces = [Piece("word", 1.0) for _ in range(40)]
    places = placed(pieces, width=200)
    assert max(one.x + one.width for one in places) <= 200 and places[-1].line > 4
    glued = placed([Piece("inter", 1.0), Piece("national", 1.0, gap="")], width=60)
    assert {one.line for one in glued} == {0}  # what adjoins stays together
