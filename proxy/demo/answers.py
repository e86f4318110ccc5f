"""What the demo upstream says: pleasant, on the subject of the question, the same each time.

Pure; no model is behind it. The prose is in answers.md beside this file, a section a topic.
"""

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import orjson

from .questions import find_keywords, find_question, find_subject, read_text, remove_triggers

PROSE = {
    name: text.strip("\n")
    for name, text in re.findall(
        r"^%%% (.+)\n((?:(?!%%% ).*\n)*)",
        Path(__file__).with_suffix(".md").read_text("utf-8"),
        re.M,
    )
}
LANGUAGES = ("german", "french", "spanish", "italian", "japanese")


def cut_pieces(text: str) -> list[str]:
    """Cut the text as a model streams it; joined, the pieces are the same text."""
    return re.findall(r"\s*\S{1,6}|\s+", text)


def fill(text: str, values: dict[str, str]) -> str:
    """Return the text with its {names} filled in; other braces stay."""
    return re.sub(r"\{(\w+)\}", lambda name: values.get(name[1], name[0]), text)


class Question:
    """One question, as the composers below need it."""

    def __init__(self, messages: list[dict], variant: int) -> None:
        start = find_question(messages)[:4000]  # enough to see the subject; more costs time
        self.text = remove_triggers(start).strip()
        self.about, self.words = find_subject(self.text), find_keywords(self.text)
        self.earlier = "\n".join(
            read_text(message.get("content"))
            for message in messages
            if message.get("role") == "assistant"
        )
        self.variant = variant

    def prose(self, section: str, **values: str) -> str:
        about = {
            "about": self.about,
            "About": self.about[:1].upper() + self.about[1:],
            "model": PROSE["model"],
        }
        if f"{section}: openings" in PROSE:
            about["opening"] = fill(self.choose(f"{section}: openings"), about)
        return fill(PROSE[section], about | values)

    def choose(self, section: str) -> str:
        """Return one line of a section: by the question and the variant."""
        options = PROSE[section].splitlines()
        number = sha256(self.text.encode(errors="replace")).digest()[0] + self.variant
        return options[number % len(options)]


def answer(messages: list[dict], variant: int = 0) -> str:
    """Reply to the whole list; another variant opens in other words."""
    question = Question(messages, variant)
    results: list[str] = []
    for message in reversed(messages):
        if message.get("role") not in ("tool", "function"):
            break
        results.insert(0, read_text(message.get("content")).strip()[:600] or "(nothing)")
    if results:
        lines = "\n".join(results).splitlines()
        return question.prose("tool", quoted="\n".join("> " + line for line in lines))
    words = question.text.lower()
    composed = (compose(question) for pattern, compose in TOPICS if re.search(pattern, words))
    text = next(filter(None, composed), None) or _compose_general(question)
    pictures = describe_pictures(messages)
    return f"Thank you, I can see {' and '.join(pictures)}.\n\n{text}" if pictures else text


def describe_pictures(messages: list[dict]) -> list[str]:
    """Put each image part of the last message in words. Remote pictures are never fetched."""
    content = messages[-1].get("content") if messages else None
    parts = content if isinstance(content, list) else []
    return [
        _describe_picture(part.get("image_url"))
        for part in parts
        if isinstance(part, dict) and part.get("type") == "image_url"
    ]


def _describe_picture(link: object) -> str:
    url = str(link.get("url", "") if isinstance(link, dict) else link)
    head, data = url.partition(",")[::2]
    if head.startswith("data:"):
        size = len(data) * 3 // 4 - data[-2:].count("=")
        return f"a picture of {size:,} bytes ({head[5:].partition(';')[0] or 'of no stated type'})"
    host = url.partition("//")[2].partition("/")[0]
    return f"a link to a picture at {host or 'an unknown place'}"


def write_long(question: str, count: int) -> str:
    """Write exactly this many words, in parts with headings."""
    lines = fill(PROSE["long"], {"about": find_subject(question)}).splitlines()
    words: list[str] = []
    for line in range(count):  # every line has a word at least
        if line % 8 == 0:
            words += f"\n\n**Part {line // 8 + 1}.**".split(" ")
        words += lines[line % len(lines)].split()
        if len(words) >= count:
            break
    return " ".join(words[:count]).replace(" \n", "\n").strip()


# A composer a topic: the first whose pattern matches answers, unless it has nothing to say. -------


def _compose_from(section: str) -> Callable[[Question], str]:
    return lambda question: question.prose(section)


def _compose_title(question: Question) -> str:
    quoted = re.search(r"(?s)[:\n](.+)", question.text)
    about = " ".join(find_keywords(quoted[1] if quoted else question.text)[:5])
    return (about[:1].upper() + about[1:])[:49].strip() or "A short conversation"


def _compose_assessment(question: Question) -> str:
    """Assess the conversation that stands there as JSON, as far as it could be read.

    It is what proxy.jobs.metadata asks for, reckoned from lengths and words.
    """
    found = re.findall(r'"role":"(user|assistant)","text":("(?:[^"\\]|\\.)*")', question.text)
    questions = [str(orjson.loads(text)) for role, text in found if role == "user"]
    replies = [str(orjson.loads(text)) for role, text in found if role == "assistant"]
    about = find_subject(questions[0] if questions else "").strip(" ,")
    person = " ".join(questions).lower()
    answers = "\n".join(replies)
    words = len(answers.split())
    return orjson.dumps(
        {
            "chat_summary": f"The person asked about {about}{_further(len(questions))}",
            "description": f"{len(questions)} messages of a person and {len(replies)} answers "
            f"about {about}.",
            "llm_deliverables": f"{_form_of(answers)} of {words} words in all."
            if words
            else "Nothing.",
            "languages": max(
                WORDS_OF,
                key=lambda name: len(re.findall(rf"\b(?:{WORDS_OF[name]})\b", person)),
            ),
            "satisfaction_score": _satisfaction(person),
            "work_related": not re.search(
                r"\b(horror|birthday|recipe|holiday trip|poem|joke|football|game)\b", person
            ),
            "user_seconds_saved": round(1.5 * words),  # as long as typing takes
            "assistant_seconds_saved": 3 * words,
            "assistant_wage": 35,
        }
    ).decode()


def _further(questions: int) -> str:
    if questions < 2:
        return "."
    return ", and went on once." if questions == 2 else f", and went on {questions - 1} times."


def _form_of(answers: str) -> str:
    for form, sign in (("Code", "```"), ("A table", "|---"), ("A list", "\n- ")):
        if sign in answers:
            return form
    return "A list" if "\n1. " in answers else "An explanation"


def _satisfaction(person: str) -> int:
    if re.search(r"\b(thanks?|great|perfect|danke|merci|gracias)\b", person):
        return 9
    return 4 if re.search(r"\b(wrong|not what|doesn't|still)\b", person) else 7


def _compose_greeting(question: Question) -> str:
    return question.prose("greeting") if len(question.text.split()) <= 6 else ""


def _compose_thanks(question: Question) -> str:
    return question.choose("thanks: openings") if len(question.text.split()) <= 8 else ""


def _compose_story(question: Question) -> str:
    story = PROSE["story"].splitlines()
    if "another sentence" in question.text.lower():
        used = sum(sentence in question.earlier for sentence in story)
        return story[used % len(story)] if used else ""
    if re.search(r"\b(1|one|a single)[ -]sentence\b", question.text.lower()):
        return story[question.variant % len(story)]
    return "\n\n".join(story)


def _compose_poem(question: Question) -> str:
    line_break = "  \n"  # as Markdown wants it
    return re.sub(r"(?<=\w[,.])\n(?!\n)", line_break, question.prose("poem"))


def _compose_sum(question: Question) -> str:
    found = re.search(
        r"(-?\d+(?:\.\d+)?)\s*(\+|-|\*|x|/|times|plus|minus|divided by)\s*(-?\d+(?:\.\d+)?)",
        question.text.lower(),
    )
    if not found:
        return ""
    one, two = float(found[1]), float(found[3])
    match found[2]:
        case "+" | "plus":
            result = one + two
        case "-" | "minus":
            result = one - two
        case "/" | "divided by":
            if two == 0:
                return "Division by zero has no result: no number times 0 gives anything but 0."
            result = one / two
        case _:
            result = one * two
    return f"{found[0]} = **{result:,.10g}**"


def _compose_code(question: Question) -> str:
    text = question.text.lower()
    bare = (re.sub(r"\W", "", word.lower()) for word in question.words)
    words = [word for word in bare if not re.match(rf"(?:{CODE})$", word)]
    name = "_".join(words)[:30].strip("_") or "example"
    first, *rest = name.split("_")
    languages = (
        ("sql", r"\bsql|\bquery"),
        ("bash", r"\bbash|\bshell|command line|\bcron"),
        ("javascript", r"\b(?:java|type)script|\bjs\b|\breact|\bnode"),
    )
    language = next(
        (language for language, pattern in languages if re.search(pattern, text)), "python"
    )
    code = question.prose(
        language, name=name, camel=first + "".join(word.capitalize() for word in rest)
    )
    return question.prose("code", language=language, code=code, notes=PROSE[f"{language}: notes"])


def _compose_fault(question: Question) -> str:
    errors = re.findall(
        r"\b[A-Z]\w*(?:Error|Exception|Warning)\b(?:: [^\n]{1,120})?", question.text
    )
    return question.prose("fault", name=errors[-1] if errors else question.about)


def _compose_table(question: Question) -> str:
    names = [
        word
        for word in [*question.words, "Planning", "Delivery", "Review"]
        if word.lower() not in ("table", "markdown", "columns")
    ]
    return question.prose(
        "table",
        **{
            place: name.capitalize()
            for place, name in zip(("first", "second", "third"), names, strict=False)
        },
    )


def _compose_comparison(question: Question) -> str:
    found = re.search(
        r"(?:compare|between)\s+(.+?)\s+(?:and|with|to|against)\s+(.+?)"
        r"(?:[.?!,:]|\s+(?:for|when|in|on)\b|$)",
        question.text,
        re.I,
    ) or re.search(r"(\S+)\s+(?:vs\.?|versus|or)\s+(\S+?)(?:[.?!,:\s]|$)", question.text, re.I)
    if not found:
        return ""
    one, two = (
        " ".join(re.sub(r"^(?:a|an|the)\s+", "", side.strip(), flags=re.I).split()[:5])
        for side in found.groups()
    )
    return question.prose("comparison", one=one, two=two)


def _compose_summary(question: Question) -> str:
    body = question.text.partition(":")[2] or question.text.partition("\n")[2]
    sentences = [
        sentence.strip()
        for paragraph in body.split("\n")
        for sentence in re.split(r"(?<=[.!?])\s+", paragraph)[:1]
        if len(sentence.split()) > 3
    ]
    if sentences:
        return question.prose(
            "summary",
            count=str(len(body.split())),
            points="\n".join(f"- {sentence}" for sentence in sentences[:5]),
        )
    return f"**In short:** {' '.join(question.earlier.split()[:45])} …" if question.earlier else ""


def _compose_translation(question: Question) -> str:
    language = next(
        (word for word in re.findall(r"\w+", question.text.lower()) if word in LANGUAGES), "german"
    )
    return question.prose("translation", language=language.capitalize(), text=PROSE[language])


def _compose_general(question: Question) -> str:
    further = (word for word in question.words if word.lower() not in question.about.lower())
    return question.prose("general", extra=next(further, "the key terms"))


WORDS_OF = {
    "English": "the|is|and|of|how|to",
    "German": "der|die|das|und|ist|nicht|wie",
    "French": "le|la|les|est|et|une|comment",
    "Spanish": "el|los|las|es|una|cómo|qué",
}
CODE = (
    "python|javascript|typescript|sql|bash|regex|function|script|code|react|shell|query|program"
    "|class|method|node"
)
TOPICS: list[tuple[str, Callable[[Question], str]]] = [
    (r"^assess this conversation\b", _compose_assessment),
    (
        r"\btitle\b.*\b(conversation|chat|messages?)\b|\b(conversation|chat|messages?)\b.*\btitle\b",
        _compose_title,
    ),
    (r"traceback \(most recent call last\)|\b\w+(error|exception)\b", _compose_fault),
    (r"horror|another sentence", _compose_story),
    (r"\b(poem|haiku|limerick|rhyme)\b", _compose_poem),
    (r"\btranslat\w+|\bin(to)? (german|french|spanish|italian|japanese)\b", _compose_translation),
    (r"\bsummar\w+|\btl;?dr\b|\bshorter\b", _compose_summary),
    (
        r"\b(phish\w*|malware|ransomware|password|breach|vulnerab\w+|cve|incident|suspicious"
        r"|firewall)\b",
        _compose_from("security"),
    ),
    (rf"\b({CODE})\b", _compose_code),
    (r"\bcompar\w+|\bdifferences?\b|\bvs\.?(\s|$)|\bversus\b", _compose_comparison),
    (r"\btables?\b", _compose_table),
    (r"\b(e-?mail|letter|reply to|invitation|memo)\b", _compose_from("email")),
    (
        r"\b(holiday|vacation|annual leave|parental leave|sick|payroll|remote work|home office"
        r"|probation|hr)\b",
        _compose_from("staff"),
    ),
    (r"\d\s*(\+|-|\*|x|/|times|plus|minus|divided by)\s*-?\d", _compose_sum),
    (r"\b(list|ideas|steps|checklist|plan|tips|agenda|points)\b", _compose_from("list")),
    (r"^\W*(hi|hello|hey|good (morning|afternoon|evening)|hallo)\b", _compose_greeting),
    (r"\b(thanks|thank you|cheers)\b", _compose_thanks),
]
