"""Text as the search sees it: terms, each with the forms by which it is found. Pure.

What is indexed and what is searched for go through `list_terms` alike. Text is read in its
compatibility form (NFKC); whatever Unicode calls neither letter nor digit is a blank, so that no
parser and no locale of a database has a say. Of a run of letters and digits these forms are kept:

- the exact one, in folded case and with hidden characters left out;
- one without accents, where it has some;
- those of the letters that it imitates, where it mixes scripts or hides in one;
- its parts: at a change of case, between letters and digits, at marks and hidden characters.

Scripts that put no blanks between words have a term for each character, a pair with the next one.
Numbers in groups (a card, an IBAN, an amount) are kept without their separators as well, and what
JSON or a program escapes (`M\\u00fcller`) also as it reads.
"""

import re
import unicodedata
from collections.abc import Iterator
from enum import StrEnum
from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

LONGEST = 128  # characters of one term: a longer run is several, one after the other
MOST_PARTS = 8  # of a run, unless they are long: those of base64 are no words
MOST_GROUPS = 8  # of a number that is kept without its separators
JOINED = range(4, 41)  # characters of such a number

# Letters that nobody sees.
FILLERS = "\u115f\u1160\u3164\uffa0"
LETTER = f"[^\\W_{FILLERS}]"  # or digit
# Scripts without blanks between their words; of Hangul the words end in particles.
DENSE = (
    "\u0e00-\u0fff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u1b00-\u1b7f"
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u318f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf"
    "\ua960-\ua97f\ua980-\ua9ff\uaa60-\uaadf\uac00-\ud7ff\uf900-\ufaff"
    "\U00016fe0-\U00018dff\U0001aff0-\U0001b2ff\U00020000-\U0003ffff"
)
HAS_DENSE = re.compile(f"[{DENSE}]")
PLAIN_WORD = re.compile(r"[^\W_]+")  # without marks and hidden characters in it
SPARSE_WORD = re.compile(f"[^\\W_{DENSE}]+")
# Groups of a number, and what stands between two of them.
GROUP = r"(?<![^\W_])(?:[A-Za-z]*\d[A-Za-z\d]*|[A-Fa-f]{4})(?![^\W_])"
BETWEEN = r"(?:[ ./,:'’·_\-‐-―]| ?[-()/‐-―]{1,2} ?)"
NUMBER = re.compile(f"{GROUP}(?:{BETWEEN}{GROUP})+")
IN_NUMBER = re.compile(GROUP)
# Text up to a blank or a quote that is not escaped; what JSON and programs escape.
UNIT = re.compile(r'(?:\\.|[^\s\\"])+')
ESCAPE = re.compile(r"""\\(?:u([0-9A-Fa-f]{4})|([nrtbf"/\\]))""")
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "/": "/", "\\": "\\"}
APART = 2  # positions between words that do not follow one another
# By the kinds of its characters (_tell_kind).
PART = re.compile("U+(?!L)|U?L+|D+")

# Letters of other scripts and the Latin ones that they look like, each script by itself.
ALIKE = {
    "CYRILLIC": (
        "асеорухіјѕһԁԛԝѵӏвкмнтгАВСЕНІЈКМОРЅТУХԚԜҮӀ",
        "aceopyxijshdqwvlbkmhtrABCEHIJKMOPSTYXQWYI",
    ),
    "GREEK": ("αονρτυικεγχωηβΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "aovptuikeyxwnbABEZHIKMNOPTYX"),
    "ARMENIAN": ("օսհոզցՕՍԼ", "ouhnqgOUL"),
    "CHEROKEE": ("ᎪᏴᏟᎠᎬᏀᎻᎵᎫᏦᏞᎷᏢᎡᏚᎢᏙᎳᏃᎩ", "ABCDEGHPJKLMPRSTVWZY"),
    "LISU": ("ꓮꓐꓚꓓꓰꓝꓖꓧꓲꓙꓗꓡꓟꓠꓳꓑꓣꓢꓔꓴꓦꓪꓫꓬꓜ", "ABCDEFGHIJKLMNOPRSTUVWXYZ"),
    "LATIN": ("ɑɡıᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "agiabcdefghijklmnoprstuvwyz"),
}
TO_LATIN = str.maketrans(
    {ord(letter): latin for pair in ALIKE.values() for letter, latin in zip(*pair, strict=True)}
)
FROM_LATIN = [
    str.maketrans({ord(latin): letter for letter, latin in zip(*ALIKE[script], strict=True)})
    for script in ("CYRILLIC", "GREEK")
]
# Letters whose accent Unicode does not take off.
UNACCENTED = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i", "ð": "d"}
    | {"æ": "ae", "œ": "oe", "þ": "th"}
)


class Kind(StrEnum):
    WORD = "word"
    PAIR = "pair"  # of characters, or the last one of a run
    NUMBER = "number"  # of several groups, without what separates them
    ESCAPED = "escaped"  # a word as it reads


class Term(NamedTuple):
    """A word at its place in a text; several terms can begin at one position."""

    forms: tuple[str, ...]  # the exact one first
    position: int  # counted from 0, one for each word, or character of a script without blanks
    start: int  # in the text as it was given
    end: int
    whole: int = 1  # so many of the forms are all of the word, and no part of it
    kind: Kind = Kind.WORD


class Spelling(NamedTuple):
    """The forms of a run: the first of them, `whole`, are all of it."""

    forms: tuple[str, ...]
    whole: int


def list_terms(text: str) -> list[Term]:
    """List the terms of a text in order; behind them, those of numbers and of escaped words."""
    read = _normalise(text)
    terms = _list_line(read.text)
    terms += _list_escaped(read.text, _end(terms))
    return terms if read.text == text else [read.place(term) for term in terms]


def place_forms(text: str, first: int = 0) -> list[tuple[int, tuple[str, ...]]]:
    """List the positions of `list_terms`, counted from `first`, and the forms at each.

    It is for texts by the megabyte: most lines are words alone, and no object is made of those.
    """
    read = _normalise(text).text
    words = _words(read)
    placed: list[tuple[int, tuple[str, ...]]] = []
    position = first
    for line in read.split("\n"):  # neither words nor numbers go over one
        runs = words.findall(line)
        if NUMBER.search(line) or HAS_DENSE.search(line) or any(len(r) > LONGEST for r in runs):
            terms = _list_line(line)
            placed += [(position + term.position, term.forms) for term in terms]
            position += _end(terms)
        else:
            placed += enumerate((_spell(run).forms for run in runs), position)
            position += len(runs)
    placed += [(term.position, term.forms) for term in _list_escaped(read, position)]
    return placed


def is_mixed(text: str) -> bool:
    """Tell whether a word of the text mixes scripts whose letters look alike."""
    if text.isascii():
        return False
    return any(not word.isascii() and _mixes(word) for word in _words(text).findall(text))


def _list_line(text: str) -> list[Term]:
    """List the words and numbers of a text that is normalised."""
    terms = list(_list_words(text))
    return terms + list(_list_numbers(text, terms))


def _end(terms: list[Term]) -> int:
    return max((term.position for term in terms), default=-1) + 1


# Runs ---------------------------------------------------------------------------------------------


def _list_words(text: str) -> Iterator[Term]:
    position = 0
    for found in _words(text).finditer(text):
        start, end = found.span()
        if HAS_DENSE.search(text, start, end):
            terms = list(_list_pairs(text, start, end, position))
        else:
            terms = list(_list_pieces(text, start, end, position))
        yield from terms
        position = max((term.position for term in terms), default=position - 1) + 1


def _list_pieces(text: str, start: int, end: int, position: int) -> Iterator[Term]:
    for number, at in enumerate(range(start, end, LONGEST)):
        piece = text[at : min(at + LONGEST, end)]
        forms, whole = _spell(piece)
        if forms:
            yield Term(forms, position + number, at, at + len(piece), whole)


def _list_pairs(text: str, start: int, end: int, position: int) -> Iterator[Term]:
    """List each character with its next one, and the words of other scripts among them."""
    folded = [(letter, at) for at in range(start, end) for letter in _fold_letter(text[at])]
    places = {at: number for number, (_, at) in reversed([*enumerate(folded)])}
    for number, (one, other) in enumerate(pairwise(folded)):
        place = position + number
        yield Term((one[0] + other[0],), place, one[1], other[1] + 1, kind=Kind.PAIR)
    if folded:
        letter, at = folded[-1]
        yield Term((letter,), position + len(folded) - 1, at, at + 1, kind=Kind.PAIR)
    for found in SPARSE_WORD.finditer(text, start, end):
        if found.start() in places:
            yield from _list_pieces(text, *found.span(), position + places[found.start()])


def _list_numbers(text: str, terms: list[Term]) -> Iterator[Term]:
    """List numbers that stand in groups without what separates those."""
    found = list(NUMBER.finditer(text))
    if not found:
        return
    positions = {term.start: term.position for term in reversed(terms) if term.kind == Kind.WORD}
    for number in found:
        groups = [group.span() for group in IN_NUMBER.finditer(text, *number.span())]
        if len(groups) > MOST_GROUPS:
            continue
        for first, (start, _) in enumerate(groups):
            joined = ""
            for at, (begin, end) in enumerate(groups[first:]):
                joined += _fold(text[begin:end])
                if at and len(joined) in JOINED and start in positions:
                    yield Term((joined,), positions[start], start, end, kind=Kind.NUMBER)


def _list_escaped(text: str, position: int) -> Iterator[Term]:
    """List the words of what stands escaped in a text, apart from all others."""
    for found in UNIT.finditer(text) if "\\" in text else ():
        read = ESCAPE.sub(_unescape, found[0])
        if read == found[0]:
            continue
        read = read.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        terms = list_terms(read)
        position += APART
        for term in terms:
            yield term._replace(
                position=position + term.position,
                start=found.start(),
                end=found.end(),
                kind=Kind.ESCAPED,
            )
        position += _end(terms)


def _unescape(found: re.Match[str]) -> str:
    code, letter = found.groups()
    return chr(int(code, 16)) if code else ESCAPES[letter]


# Forms --------------------------------------------------------------------------------------------


@lru_cache(1 << 16)
def _spell(run: str) -> Spelling:
    """Return the forms of a run of letters, digits, and what joins them."""
    if run.isascii() and run.isalnum():
        lower = run.lower()
        is_one = run == lower and (run.isalpha() or run.isdigit())
        return Spelling(tuple(dict.fromkeys([lower, *([] if is_one else _list_parts(run))])), 1)
    seen = "".join(letter for letter in run if not _is_hidden(letter))
    exact = _fold(seen)
    whole = [exact, strip_accents(exact), *_list_alike(seen)]
    whole = [form for form in dict.fromkeys(whole) if form]
    parts = [form for part in _list_parts(run) for form in (part, strip_accents(part))]
    return Spelling(tuple(dict.fromkeys([*whole, *parts])), len(whole))


def _list_parts(run: str) -> list[str]:
    """List the parts of a run that have two characters at least."""
    kinds = "".join(map(_tell_kind, run))
    spans = [found.span() for found in PART.finditer(kinds)]
    # what is between two joiners is a part by itself too
    spans += [found.span() for found in re.finditer("[^J]+", kinds)] if "J" in kinds else []
    is_noise = len(spans) > MOST_PARTS and len(run) < 2.5 * len(spans)
    if is_noise and "J" not in kinds:
        return []
    return [_fold(run[start:end]) for start, end in spans if end - start > 1]


def _tell_kind(letter: str) -> str:
    """Return D for a digit, U for a capital, L for another letter, J for what joins two."""
    if letter.isdigit():
        return "D"
    if letter.isalnum():
        return "U" if letter.isupper() else "L"
    return "J"


def _fold(text: str) -> str:
    """Return a text in folded case, its digits as 0 to 9."""
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFKC", text.casefold())
    return "".join(
        str(unicodedata.decimal(letter)) if letter.isdecimal() else letter for letter in folded
    )


@lru_cache(1 << 16)
def _fold_letter(letter: str) -> str:
    return "" if _is_hidden(letter) else _fold(letter)


def strip_accents(text: str) -> str:
    if text.isascii():
        return text
    letters = unicodedata.normalize("NFD", text)
    kept = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return unicodedata.normalize("NFC", kept).translate(UNACCENTED)


def _list_alike(word: str) -> Iterator[str]:
    """List what a word reads as to whoever takes its letters for those of one script."""
    bare = strip_accents(word)
    latin = bare.translate(TO_LATIN)
    if latin == bare:
        return
    mixed = _mixes(word)
    if mixed or latin.isascii():
        yield _fold(latin)
    for table in FROM_LATIN if mixed else ():
        other = bare.translate(table)
        if not any("a" <= letter <= "z" for letter in other.lower()):
            yield _fold(other)


def _mixes(word: str) -> bool:
    letters = {letter for letter in word if letter.isalpha()}
    scripts = {_tell_script(letter) for letter in letters} & ALIKE.keys()
    return len(scripts) > 1 and any(ord(letter) in TO_LATIN for letter in letters)


@lru_cache(4096)
def _tell_script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0]


# Characters ---------------------------------------------------------------------------------------


class Normal(NamedTuple):
    """A text in NFKC, and where each of its characters stood, where it is another text."""

    text: str
    starts: list[int] = []
    ends: list[int] = []

    def place(self, term: Term) -> Term:
        return term._replace(start=self.starts[term.start], end=self.ends[term.end - 1])


def _normalise(text: str) -> Normal:
    if text.isascii() or unicodedata.is_normalized("NFKC", text):
        return Normal(text)
    pieces: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for found in _clusters().finditer(text):
        start, end = found.span()
        piece = unicodedata.normalize("NFKC", found[0])
        pieces.append(piece)
        if piece == found[0]:
            starts += range(start, end)
            ends += range(start + 1, end + 1)
        else:
            starts += [start] * len(piece)
            ends += [end] * len(piece)
    return Normal("".join(pieces), starts, ends)


def _is_hidden(letter: str) -> bool:
    return letter in FILLERS or unicodedata.category(letter) in ("Cf", "Cc")


def _words(text: str) -> re.Pattern[str]:
    """Return what matches the runs of letters and digits of a text."""
    if text.isascii() and text.isprintable():
        return PLAIN_WORD
    marks, hidden = _list_joiners()
    is_plain = marks.isdisjoint(text) and hidden.isdisjoint(text)
    return PLAIN_WORD if is_plain else _joined_words()


@cache
def _joined_words() -> re.Pattern[str]:
    """Return what matches a run with marks and hidden characters in it."""
    marks, hidden = map(_write_set, _list_joiners())
    return re.compile(f"{LETTER}+(?:[{marks}{hidden}]+{LETTER}+)*[{marks}]*")


@cache
def _clusters() -> re.Pattern[str]:
    """Return what matches text that no normalisation joins to what is beside it."""
    late = _write_set(_list_joiners()[0]) + "\u1160-\u11ff\uff9e\uff9f"
    return re.compile(f"[\\x00-\\x7f]+(?![{late}])|(?s:.)[{late}]*")


@cache
def _list_joiners() -> tuple[frozenset[str], frozenset[str]]:
    """List what stands within a word and is no letter of it: marks, and hidden characters.

    Hidden ones that are blanks end a word.
    """
    marks, hidden = set(), set(FILLERS)
    for letter in map(chr, (*range(0x20000), *range(0xE0000, 0xE0200))):
        category = unicodedata.category(letter)
        if category[0] == "M":
            marks.add(letter)
        elif category in ("Cf", "Cc") and not letter.isspace():
            hidden.add(letter)
    return frozenset(marks), frozenset(hidden)


def _write_set(letters: frozenset[str]) -> str:
    """Write characters as ranges, for a set of a pattern."""
    numbers = set(map(ord, letters))
    starts = sorted(number for number in numbers if number - 1 not in numbers)
    ends = sorted(number for number in numbers if number + 1 not in numbers)
    return "".join(f"\\U{start:08x}-\\U{end:08x}" for start, end in zip(starts, ends, strict=True))
