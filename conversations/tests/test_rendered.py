"""What was rendered is kept, within bounds."""

from conversations.reading import markdown
from conversations.reading.rendered import RenderedCache


def test_a_text_is_rendered_once(monkeypatch):
    kept, texts = RenderedCache(1000), []
    monkeypatch.setattr(markdown, "html", lambda text: texts.append(text) or f"<p>{text}</p>")
    assert [kept.html(text) for text in ("a", "b", "a", "\ud83d", "\ud83d")] == [
        "<p>a</p>",
        "<p>b</p>",
        "<p>a</p>",
        "<p>\ud83d</p>",
        "<p>\ud83d</p>",
    ]
    assert texts == ["a", "b", "\ud83d"]


def test_what_was_looked_at_last_is_kept():
    kept = RenderedCache(20)
    a = kept.html("a")  # nine characters with its newline
    kept.html("b")
    assert kept.html("a") is a
    kept.html("c")
    assert kept.html("a") is a
    assert (len(kept.pages), kept.size) == (2, 18)
    kept.html("long " * 20)
    assert (len(kept.pages), kept.size) == (0, 0)


def test_a_text_that_took_too_long_is_tried_again(monkeypatch):
    kept = RenderedCache(1000)
    monkeypatch.setattr(markdown, "SLOWEST", -1)
    assert kept.html("*a*") == '<pre tabindex="0">*a*</pre>'
    monkeypatch.undo()
    assert kept.html("*a*") == "<p><em>a</em></p>\n"
