"""Tables, lists and code laid out for reviewers: no character is lost, and nothing acts."""

from hypothesis import example, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from conversations.reading.layout import SIGNS, Block, cut_stretches, lay_out, split_code

PIECES = st.sampled_from(
    [
        *(
            "- ",
            "  ",
            "    ",
            "1. ",
            "7) ",
            "| ",
            "|---|---|\n",
            "```",
            "~~~~",
            "py\n",
            "\n",
            "\n\n",
        ),
        *(
            "word",
            "x",
            "[a](b)",
            "[r]: http://x",
            "# ",
            "> ",
            "<b>",
            "&amp;",
            "\\|",
            "\0",
            "\u202e",
        ),
    ]
)
TEXTS = st.lists(PIECES, max_size=40).map("".join)


def texts(blocks: list[Block]) -> str:
    return "".join(
        block.label + block.text + "".join(map("".join, block.rows)) + texts(block.blocks)
        for block in blocks
    )


@effort(deadline=None, max_examples=300)
@given(TEXTS)
@example("- " * 30 + "deep")
@example("| a | b |\n|---|---|\n| 1 | 2 | one more |\n")
@example("[r]: http://hidden.example\n")
def test_no_character_is_lost(text):
    assert texts(lay_out(text)).translate(SIGNS) == text.translate(SIGNS)


@effort(deadline=None, max_examples=300)
@given(TEXTS, st.integers(0, 200))
def test_stretches_are_the_text(text, cut):
    stretches = split_code(text)
    assert "".join(stretch.text for stretch in stretches) == text
    parts = cut_stretches(stretches, 0, cut) + cut_stretches(stretches, cut, len(text))
    assert "".join(stretch.text for stretch in parts) == text


def test_what_is_laid_out():
    text = (
        "Ahead *as it is*\n\n| a | b |\n|:--|---|\n| 1 | 2 | more |\n\n- one\n  - two\n"
        "- three\n\n3. c\n7. g\n\n```py\nx = 1\n```\n[link](javascript:x)"
    )
    ahead, table, bullets, numbers, code, behind = lay_out(text)
    assert ahead == Block("text", "Ahead *as it is*")
    assert table.rows == [["a", "b"], ["1", "2", "more"]]
    first, second = bullets.blocks
    assert [block.kind for block in first.blocks] == ["text", "bullets"]
    assert second.blocks == [Block("text", "three")]
    assert [item.label for item in numbers.blocks] == ["3", "7"]
    assert (code.kind, code.label, code.text) == ("code", "py", "x = 1\n")
    assert behind == Block("text", "[link](javascript:x)")


def test_what_would_cost_or_lose_too_much_stays_as_it_is():
    for text in ("- " * 30 + "deep", "- x\n" * 10_000, "a" * 100_001):
        assert lay_out(text) == [Block("text", text)]


def test_code_is_a_stretch_of_its_own():
    stretches = split_code("a\n```py\nx\n```\nb\n~~~\nnever closed\n``` no end")
    assert [(part.text, part.is_code) for part in stretches] == [
        ("a\n", False),
        ("```py\nx\n```\n", True),
        ("b\n", False),
        ("~~~\nnever closed\n``` no end", True),
    ]
