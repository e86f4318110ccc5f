"""What is searched for: words, "phrases", -without, or; as PostgreSQL asks it, and in a text. Pure.

A word is found in any of its forms: with or without accents. In quotation marks its accents count.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from operator import attrgetter
from typing import NamedTuple

from ..visible import HIDDEN
from .terms import Kind, Term, list_terms, strip_accents

LONGEST = 200  # characters of a query that are read
CARD = 4  # digits in a group of a long number, as it may have been written
OR = "or"
QUOTES = dict.fromkeys(map(ord, "“”„‟«»″〝〞〟＂"), '"') | {ord("−"): "-", ord("："): ":"}
TOKEN = re.compile(r'(?P<minus>-?)"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+)')

# Some characters of a text, up to a blank.
PART = re.compile(r".{1,4000}(?:\s|\Z)|.{1,4000}", re.DOTALL)

Span = tuple[int, int]


def straighten(text: str) -> str:
    """Write the quotation marks, minus and colon of word processors as keyboards do."""
    return text.translate(QUOTES)


class Step(NamedTuple):
    """A word of a phrase, in any of these forms, so many positions after the one before it."""

    forms: tuple[str, ...]
    gap: int = 1
    begins: bool = False  # the form is the beginning of a pair


class Phrase(NamedTuple):
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        first, *others = self.steps
        text = _write_step(first)
        for step in others:
            text += f" <{step.gap}> {_write_step(step)}"
        return f"({text})"


class All(NamedTuple):
    nodes: tuple["Node", ...]

    def __str__(self) -> str:
        return f"({' & '.join(map(str, self.nodes))})"


class AnyOf(NamedTuple):
    nodes: tuple["Node", ...]

    def __str__(self) -> str:
        return f"({' | '.join(map(str, self.nodes))})"


class Without(NamedTuple):
    node: "Node"

    def __str__(self) -> str:
        return f"!{self.node}"


Node = Phrase | All | AnyOf | Without


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed search; without a node there is no letter and no digit to search for."""

    node: Node | None

    def __str__(self) -> str:
        """Write it as PostgreSQL's tsquery reads it, without any parser of its own."""
        return str(self.node) if self.node else ""

    def __bool__(self) -> bool:
        return self.node is not None

    def find(self, text: str) -> list[Span]:
        """List where in a text the words and phrases stand, in order and without overlaps.

        The text is read a few thousand characters at a time, and most of those only as far as to
        see that no phrase begins there.
        """
        phrases = list(_list_phrases(self.node)) if self.node else []
        spans: list[Span] = []
        for part in PART.finditer(text) if phrases else ():
            if _may_hold(phrases, part[0]):
                begin = part.start()
                spans += ((begin + start, begin + end) for start, end in _find(phrases, part[0]))
        return spans


class Token(NamedTuple):
    """What was typed between two blanks, or in quotation marks."""

    text: str
    is_exact: bool
    is_left_out: bool

    @property
    def is_number(self) -> bool:
        return self.text.isdigit() and not self.is_exact and not self.is_left_out


def parse(text: str) -> Query:
    """Parse what was typed. It is never wrong: what has no letters and digits is left out."""
    ways: list[list[Token]] = [[]]
    for found in TOKEN.finditer(straighten(text[:LONGEST])):
        word, phrase = found["word"], found["phrase"]
        if phrase is not None:
            ways[-1].append(Token(phrase, is_exact=True, is_left_out=bool(found["minus"])))
        elif word.lower() == OR:
            ways.append([])
        else:
            is_left_out = word.startswith("-")
            ways[-1].append(Token(word, is_exact=False, is_left_out=is_left_out))
    nodes = [All(tuple(nodes)) for way in ways if (nodes := list(_read_way(way)))]
    return Query(AnyOf(tuple(nodes)) if nodes else None)


def _read_way(tokens: list[Token]) -> Iterator[Node]:
    """Read tokens that all have to be there; numbers side by side may be one in groups."""
    for is_number, run in groupby(tokens, attrgetter("is_number")):
        read = [*run]
        nodes = [node for token in read if (node := _read(token))]
        if is_number and len(nodes) > 1:
            joined = "".join(token.text for token in read)
            yield AnyOf((All(tuple(nodes)), _read_whole(joined)))
        else:
            yield from nodes


def _read(token: Token) -> Node | None:
    """Read one token: the phrase of its words, and other ways to write a number."""
    terms = list_terms(token.text)
    if not terms:
        return None
    words = list(_list_steps(terms, is_exact=token.is_exact))
    nodes: list[Node] = [Phrase(tuple(words))]
    start, end = min(term.start for term in terms), max(term.end for term in terms)
    nodes += [
        _read_whole(term.forms[0])
        for term in terms
        if term.kind == Kind.NUMBER and (term.start, term.end) == (start, end)
    ]
    if token.is_number and len(token.text) >= 2 * CARD:
        nodes.append(_read_groups(token.text))
    node = nodes[0] if len(nodes) == 1 else AnyOf(tuple(nodes))
    return Without(node) if token.is_left_out else node


def _read_whole(word: str) -> Phrase:
    return Phrase((Step((word,)),))


def _read_groups(digits: str) -> Phrase:
    """Read a number as it may stand in a long row of others, in groups."""
    groups = [digits[at : at + CARD] for at in range(0, len(digits), CARD)]
    return Phrase(tuple(Step((group,)) for group in groups))


def _list_steps(terms: list[Term], *, is_exact: bool) -> Iterator[Step]:
    """List the words of a phrase; of a run in pairs those alone."""
    paired = {term.position for term in terms if term.kind == Kind.PAIR}
    last = before = None
    for term in terms:
        if term.kind == Kind.PAIR:
            is_end = len(term.forms[0]) == 1
            goes_on = is_end and before is not None and before.position == term.position - 1
            before = None if is_end else term
            if goes_on:
                continue  # the pair before it has it
            forms, begins = term.forms, is_end
        elif term.kind == Kind.WORD and term.position not in paired:
            whole = term.forms[: term.whole]
            forms, begins = tuple(_list_exact(whole)) if is_exact else whole, False
        else:
            continue
        yield Step(forms, 1 if last is None else term.position - last, begins)
        last = term.position


def _list_exact(forms: tuple[str, ...]) -> Iterator[str]:
    """List the forms of a word but the one without its accents."""
    bare = strip_accents(forms[0])
    return (form for form in forms if form == forms[0] or form != bare)


def _write_step(step: Step) -> str:
    ending = ":*" if step.begins else ""
    forms = " | ".join(f"'{form}'{ending}" for form in step.forms)  # letters and digits alone
    return forms if len(step.forms) == 1 else f"({forms})"


# In a text ----------------------------------------------------------------------------------------


def _list_phrases(node: Node) -> Iterator[Phrase]:
    """List what has to be there, and not what has to be missing."""
    if isinstance(node, Phrase):
        yield node
    elif not isinstance(node, Without):
        for each in node.nodes:
            yield from _list_phrases(each)


def _may_hold(phrases: list[Phrase], text: str) -> bool:
    """Tell whether a phrase may begin in a text; no is said only where all is plain."""
    if not text.isascii() or "\\" in text or HIDDEN.search(text):
        return True
    lower = text.lower()
    forms = chain.from_iterable(phrase.steps[0].forms for phrase in phrases)
    return any(not form.isalpha() or form in lower for form in forms)  # numbers stand in groups


def _find(phrases: list[Phrase], text: str) -> list[Span]:
    places: dict[str, dict[int, Term]] = {}
    for term in list_terms(text):
        for form in term.forms:
            places.setdefault(form, {}).setdefault(term.position, term)
    return _merge(sorted(chain.from_iterable(_find_phrase(each, places) for each in phrases)))


def _find_phrase(phrase: Phrase, places: dict[str, dict[int, Term]]) -> Iterator[Span]:
    first, *others = phrase.steps
    for position, term in _find_step(first, places).items():
        ends, here = [term.end], position
        for step in others:
            here += step.gap
            following = _find_step(step, places).get(here)
            if following is None:
                break
            ends.append(following.end)
        else:
            yield term.start, max(ends)


def _find_step(step: Step, places: dict[str, dict[int, Term]]) -> dict[int, Term]:
    forms = list(step.forms)
    if step.begins:
        forms = [form for form in places if form.startswith(step.forms)]
    return {
        position: term
        for form in reversed(forms)
        for position, term in places.get(form, {}).items()
    }


def _merge(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in spans:
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
