"""What a question says: its text, its subject, and the triggers that ask for a fault. Pure."""

import re
from enum import StrEnum
from typing import Any


class Trigger(StrEnum):
    """A word of a question that asks for a fault; proxy.demo.server says what each does."""

    DOWN = "down"
    SILENT = "silent"
    SLOW = "slow"
    STALL = "stall"
    CUT = "cut"
    CONTENT_POLICY = "400"
    WRONG_KEY = "401"
    RATE_LIMIT = "429"
    SERVER_ERROR = "500"
    GARBAGE = "garbage"
    HTML = "html"
    JSON = "json"
    SSE = "sse"
    ERROR = "error"
    NO_USAGE = "nousage"
    NO_DONE = "nodone"
    LONG = "long"
    ECHO = "echo"


Triggers = dict[str, float | None]  # each with its number, if it has one

TRIGGER = re.compile(rf"(?<!\S)!({'|'.join(Trigger)})(?:=(\d+(?:\.\d+)?))?(?!\S)")
# Words that say nothing about a question's subject.
PLAIN = set(
    re.findall(
        r"\w[\w']*",
        """a an and are as at be been but by can could did do does for from get give got had has
        have how i if in into is it its just like make may me more my no not of on or our please
        should show so some such tell than that the their them then there these they this to up us
        use want was we were what what's when where which who why will with would write you your
        about explain describe create draft list compare between difference vs versus using short
        quick simple need help word words sentence now""",
    )
)
# What stands before the subject of a question.
LEAD = re.compile(
    r"""^(?:(?:hi|hello|hey|dear)\b[\w\ ]{0,12}[,.!]\s+)?
    (?:(?:please|kindly|now|ok|so)\b[,\ ]+)*
    (?:(?:can|could|would|will)\ (?:you|i|we)\ +(?:please\ +)?)?
    (?:help\ me\ (?:to\ )?)?
    (?:i\ (?:need|want|would\ like)\ +)?
    (?:(?:explain|describe|tell\ (?:me|us)(?:\ about)?|write(?:\ me)?|give\ me|make(?:\ me)?
      |create|show(?:\ me)?|list|draft|compare|summari[sz]e|suggest|translate
      |what(?:'s|\ is|\ are|\ does|\ do)|how\ many
      |how\ (?:do|does|can|should|to|is|are)(?:\ (?:i|we|you|one))?
      |why\ (?:do|does|is|are)|who\ (?:is|are|was))\b)?\ *
    (?:(?:a|an|the|some|me|my|our|short|quick|brief|few|of|about)\b\ *)*
    (?:(?:list|table|overview|summary|explanation|example|checklist)s?\ (?:of|for|about)\ +)?
    (?:(?:\w+\ )?(?:function|script|query|program|class)\ (?:that|which|to|for)\ +)?""",
    re.I | re.X,
)


def count_tokens(text: str) -> int:
    """Estimate: a token for each four bytes of UTF-8, rounded up."""
    return (len(text.encode(errors="replace")) + 3) // 4


def read_text(content: Any) -> str:
    """Return the text of a message's content, be it a string, parts or nothing."""
    if isinstance(content, list):
        return "\n".join(
            str(part.get("text", ""))
            for part in content
            if isinstance(part, dict) and part.get("type") == "text"
        )
    return content if isinstance(content, str) else ""


def find_question(messages: list[dict]) -> str:
    """Return the text of the last message of the user."""
    texts = (
        read_text(message.get("content"))
        for message in reversed(messages)
        if message.get("role") == "user"
    )
    return next(texts, "")


def find_triggers(text: str) -> Triggers:
    """Return the words such as !slow or !long=300 in a text."""
    return {name: float(number) if number else None for name, number in TRIGGER.findall(text)}


def remove_triggers(text: str) -> str:
    return TRIGGER.sub("", text)


def find_subject(question: str) -> str:
    """Say what the question is about, in at most eight words."""
    lines = re.sub(r"```.*?(```|$)", " ", question, flags=re.S).strip().splitlines() or [""]
    first = re.split(r"(?<=[.?!:])\s", lines[0].strip())[0].strip(" .?!:,;\"'")
    rest = LEAD.sub("", first, count=1)
    rest = re.split(
        r" and (?:how|what|why|when|who)\b|, (?:and|but|what|how)\b"
        r"| (?:do|does|did|can|should) (?:i|we|you)\b",
        rest,
        flags=re.I,
    )[0]
    rest = re.sub(r"^.*\babout (?:a |an |the |our |my )?", "", rest)
    if re.match(r"(?:i|we|my|our)\b", rest, re.I):
        rest = " ".join(find_keywords(rest))
    return re.sub(r"\s+works?$", "", " ".join(rest.split()[:8])) or "your question"


def find_keywords(question: str) -> list[str]:
    """Return up to six words that carry the question, in its own order."""
    words = re.findall(r"[^\W\d_][\w'-]{2,}", question)
    return list(dict.fromkeys(word for word in words if word.lower() not in PLAIN))[:6]
