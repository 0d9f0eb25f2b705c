"""Text as HTML."""

from __future__ import annotations

from onnxlrp.reporting.html_text import html_of, marked_up, per_cent, sentences


def test_names_are_escaped_and_cut():
    assert html_of("<a & 'b'>\x1b") == "&lt;a &amp; &#x27;b&#x27;&gt;\\x1b"
    assert html_of("abcdef", 4) == "abc…"
    assert sentences([]) == "" and sentences(["<"]) == "<ul><li>&lt;</li></ul>"


def test_a_page_of_messages_becomes_paragraphs_and_lists():
    text = "One `x < y` here\nand *there*.\n\n- first\n  goes on\n- second"
    wanted = "<p>One <code>x &lt; y</code> here and <em>there</em>.</p><ul><li>first goes on</li><li>second</li></ul>"
    assert marked_up(text) == wanted


def test_shares_in_per_cent():
    assert [per_cent(share) for share in (1, 0, 0.004, -0.21, float("nan"))] == [
        "100 %",
        "0 %",
        "less than 1 %",
        "−21 %",
        "an unknown share",
    ]
