"""Property: an event that only goes on with a text is taken as if it were read."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from proxy.protocols import chat

FIRST = {"index": 0, "delta": {"role": "assistant", "content": "Once"}, "finish_reason": None}
SIGNS = [bytes([sign]) for sign in b'"\\,:{}[]\n u9'] + [
    "é".encode(),
    b"\xed\xa0\x80",
    b"\\ud83d",
    b"\\n",
    b'"}}]}\n\n',
    b'","role":"user',
    b'"content":"',
    b'"obfuscation":"x"}\n\n',
    b"data: [DONE]\n\n",
    b"data: ",
]


def event(choice, **more):
    said = {"id": "c-1", "choices": [choice], **more}
    return b"data: %s\n\n" % json.dumps(said, separators=(",", ":")).encode()


def word(text, key="content", **more):
    return event({"index": 0, "delta": {key: text}}, **more)


def spelt(text, words):
    """An event with another text under the name of the words, which is spelt in another way."""
    return word(words, content=text).replace(b'{"content"', b'{"c\\u006fntent"')


def twice(first, last):
    """An event that names its words twice: the last counts."""
    return word(last).replace(b'"content":', b'"content":"%s","content":' % first.encode())


def read(pieces, *, each):
    """Return what a stream amounts to, and what its caller got; `each` event read for itself."""
    reply, sent = chat.new_reply(), []
    for piece in pieces:
        if each:
            reply._frame = None
        sent.append(reply.feed(piece))
        if reply.ended:
            break
    return sent, reply.take(), reply.whole(), reply.bad, reply.error, reply.done


def same(pieces):
    assert read(pieces, each=False) == read(pieces, each=True)


@given(
    begin=some.sampled_from([word(" upon"), word(" upon", obfuscation="ab"), word("", usage=None)]),
    cuts=some.lists(some.tuples(some.integers(0, 110), some.integers(0, 12)), max_size=3),
    signs=some.lists(some.sampled_from(SIGNS), min_size=3, max_size=3),
)
def test_a_changed_event_is_read_for_what_it_is(begin, cuts, signs):
    piece = begin
    for (at, length), sign in zip(cuts, signs, strict=False):
        piece = piece[:at] + sign + piece[at + length :]
    piece = piece.rstrip(b"\n") + b"\n\n"
    same([event(FIRST), begin, begin, piece, begin, word(" a")])
    same([event(FIRST), begin, begin + piece + begin + word(" a")])


@given(some.lists(some.text(), max_size=5), some.booleans(), some.booleans())
@example(["\ud83d".encode("utf-16", "surrogatepass").decode("utf-16", "replace"), "\0"], True, True)
def test_any_words_go_on(texts, is_padded, is_ascii):
    more = {"obfuscation": "x"} if is_padded else {}
    pieces = [event(FIRST), word(" upon", **more)]
    for text in texts:
        said = {"id": "c-1", "choices": [{"index": 0, "delta": {"content": text}}], **more}
        data = json.dumps(said, ensure_ascii=is_ascii, separators=(",", ":"))
        pieces.append(b"data: %s\n\n" % data.encode())
    same(pieces)
    same([*pieces[:2], b"".join(pieces[2:])])


@pytest.mark.parametrize(
    "two",
    [
        [spelt("a", "a"), spelt("b", "a")],
        [twice("a", "w"), twice("b", "w")],
        [word("a", x={"obfuscation": "a"}), word("a", x={"obfuscation": "b"})],
        [word("a", obfuscation="x", y=1), word("a", obfuscation="y", y=2)],
        [word("a", obfuscation="x"), word("b", obfuscation="y")[:-3] + b',"y":2}\n\n'],
        [word("a", usage={"total_tokens": 1}), word("a", usage={"total_tokens": 2})],
        [word("a"), word("a") + word("b")],
        [word("a"), word("a") + word("b", obfuscation="x")],
        [word("a", "name"), word("a", "name")],
        [word("a", "reasoning"), word("b", "reasoning")],
        [word("a"), word(["a"])],
        [word("a"), word('"}}]}\n\n')],
    ],
)
def test_what_stands_around_words_counts(two):
    same([event(FIRST), *two, *two])
    same([event(FIRST), *two, *two[::-1]])
