"""What the demo upstream says: pleasant, on the subject of the question, the same each time. Pure; no model is behind it.

The prose is in demo_answers.md beside this file, a section a topic.
"""

import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

PROSE = {
    name: text.strip("\n")
    for name, text in re.findall(
        r"^%%% (.+)\n((?:(?!%%% ).*\n)*)",
        Path(__file__).with_suffix(".md").read_text("utf-8"),
        re.M,
    )
}
LANGUAGES = ("german", "french", "spanish", "italian", "japanese")
TRIGGER = re.compile(  # what each does: proxy.demo.server
    r"(?<!\S)!(down|silent|slow|stall|cut|400|401|429|500|garbage|html|json|sse|error|nousage|nodone|long|echo)(?:=(\d+(?:\.\d+)?))?(?!\S)"
)
# Words that say nothing about a question's subject.
PLAIN = set(
    re.findall(
        r"\w[\w']*",
        """a an and are as at be been but by can could did do does for from get give got had has have how i if in into is it its just like
        make may me more my no not of on or our please should show so some such tell than that the their them then there these they this
        to up us use want was we were what what's when where which who why will with would write you your about explain describe create
        draft list compare between difference vs versus using short quick simple need help word words sentence now""",
    )
)
# What stands before the subject of a question.
LEAD = re.compile(
    r"""^(?:(?:hi|hello|hey|dear)\b[\w\ ]{0,12}[,.!]\s+)?
    (?:(?:please|kindly|now|ok|so)\b[,\ ]+)*
    (?:(?:can|could|would|will)\ (?:you|i|we)\ +(?:please\ +)?)?
    (?:help\ me\ (?:to\ )?)?
    (?:i\ (?:need|want|would\ like)\ +)?
    (?:(?:explain|describe|tell\ (?:me|us)(?:\ about)?|write(?:\ me)?|give\ me|make(?:\ me)?|create|show(?:\ me)?|list|draft
      |compare|summari[sz]e|suggest|translate|what(?:'s|\ is|\ are|\ does|\ do)|how\ many|how\ (?:do|does|can|should|to|is|are)(?:\ (?:i|we|you|one))?
      |why\ (?:do|does|is|are)|who\ (?:is|are|was))\b)?\ *
    (?:(?:a|an|the|some|me|my|our|short|quick|brief|few|of|about)\b\ *)*
    (?:(?:list|table|overview|summary|explanation|example|checklist)s?\ (?:of|for|about)\ +)?
    (?:(?:\w+\ )?(?:function|script|query|program|class)\ (?:that|which|to|for)\ +)?""",
    re.I | re.X,
)


def tokens(text: str) -> int:
    """An estimate: a token for each four bytes of UTF-8, rounded up."""
    return (len(text.encode(errors="replace")) + 3) // 4


def said(content: Any) -> str:
    """The text of a message's content, be it a string, parts or nothing."""
    if isinstance(content, list):
        return "\n".join(
            str(part.get("text", ""))
            for part in content
            if isinstance(part, dict) and part.get("type") == "text"
        )
    return content if isinstance(content, str) else ""


def asked(messages: list[dict]) -> str:
    """The last user message's text."""
    return next(
        (
            said(message.get("content"))
            for message in reversed(messages)
            if message.get("role") == "user"
        ),
        "",
    )


def triggers(text: str) -> dict[str, float | None]:
    """The words such as !slow or !long=300 in a text, each with its number if it has one."""
    return {name: float(number) if number else None for name, number in TRIGGER.findall(text)}


def pieces(text: str) -> list[str]:
    """The text cut as a model streams it; joined, the same text."""
    return re.findall(r"\s*\S{1,6}|\s+", text)


def subject(question: str) -> str:
    """What the question is about, in at most eight words."""
    lines = re.sub(r"```.*?(```|$)", " ", question, flags=re.S).strip().splitlines() or [""]
    first = re.split(r"(?<=[.?!:])\s", lines[0].strip())[0].strip(" .?!:,;\"'")
    rest = LEAD.sub("", first, count=1)
    rest = re.split(
        r" and (?:how|what|why|when|who)\b|, (?:and|but|what|how)\b| (?:do|does|did|can|should) (?:i|we|you)\b",
        rest,
        flags=re.I,
    )[0]
    rest = re.sub(r"^.*\babout (?:a |an |the |our |my )?", "", rest)
    if re.match(r"(?:i|we|my|our)\b", rest, re.I):
        rest = " ".join(keywords(rest))
    return re.sub(r"\s+works?$", "", " ".join(rest.split()[:8])) or "your question"


def keywords(question: str) -> list[str]:
    """Up to six words that carry the question, in its own order."""
    return list(
        dict.fromkeys(
            word
            for word in re.findall(r"[^\W\d_][\w'-]{2,}", question)
            if word.lower() not in PLAIN
        )
    )[:6]


def filled(text: str, values: dict[str, str]) -> str:
    """The text with its {names} filled in; other braces stay."""
    return re.sub(r"\{(\w+)\}", lambda name: values.get(name[1], name[0]), text)


class Asked:
    """One question, as the composers below need it."""

    def __init__(self, messages: list[dict], variant: int) -> None:
        self.question = TRIGGER.sub(
            "", asked(messages)[:4000]
        ).strip()  # enough to see the subject; more costs time
        self.about, self.words = subject(self.question), keywords(self.question)
        self.earlier = "\n".join(
            said(message.get("content"))
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
            about["opening"] = filled(self.one_of(f"{section}: openings"), about)
        return filled(PROSE[section], about | values)

    def one_of(self, section: str) -> str:
        options = PROSE[section].splitlines()
        return options[
            (sha256(self.question.encode(errors="replace")).digest()[0] + self.variant)
            % len(options)
        ]


def answer(messages: list[dict], variant: int = 0) -> str:
    """A reply to the whole list; another variant opens in other words."""
    question = Asked(messages, variant)
    results: list[str] = []
    for message in reversed(messages):
        if message.get("role") not in ("tool", "function"):
            break
        results.insert(0, said(message.get("content")).strip()[:600] or "(nothing)")
    if results:
        return question.prose(
            "tool", quoted="\n".join("> " + line for line in "\n".join(results).splitlines())
        )
    words = question.question.lower()
    composed = (compose(question) for pattern, compose in TOPICS if re.search(pattern, words))
    text = next(filter(None, composed), None) or _general(question)
    seen = pictures(messages)
    return f"Thank you, I can see {' and '.join(seen)}.\n\n{text}" if seen else text


def pictures(messages: list[dict]) -> list[str]:
    """Each image part of the last message, in words. Remote pictures are named, never fetched."""
    content = messages[-1].get("content") if messages else None
    seen = []
    for part in content if isinstance(content, list) else []:
        if isinstance(part, dict) and part.get("type") == "image_url":
            link = part.get("image_url")
            url = str(link.get("url", "") if isinstance(link, dict) else link)
            head, _, data = url.partition(",")
            if head.startswith("data:"):
                size = len(data) * 3 // 4 - data[-2:].count("=")
                seen.append(
                    f"a picture of {size:,} bytes ({head[5:].partition(';')[0] or 'of no stated type'})"
                )
            else:
                seen.append(
                    f"a link to a picture at {url.partition('//')[2].partition('/')[0] or 'an unknown place'}"
                )
    return seen


def long(question: str, count: int) -> str:
    """Exactly this many words, in parts with headings."""
    lines = filled(PROSE["long"], {"about": subject(question)}).splitlines()
    words: list[str] = []
    for line in range(count):  # every line has a word at least
        if line % 8 == 0:
            words += f"\n\n**Part {line // 8 + 1}.**".split(" ")
        words += lines[line % len(lines)].split()
        if len(words) >= count:
            break
    return " ".join(words[:count]).replace(" \n", "\n").strip()


# Tools and structured replies -----------------------------------------------------------------------------------


def tool_for(tools: list[dict], choice: Any, messages: list[dict]) -> dict | None:
    """The function to call: the one that is forced, else one whose name or description the user's last message touches."""
    functions = [
        tool["function"]
        for tool in tools
        if isinstance(tool, dict) and isinstance(tool.get("function"), dict)
    ]
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
        return next((function for function in functions if function.get("name") == name), None)
    if choice == "none" or not functions or messages[-1].get("role") != "user":
        return None
    words = {word.lower() for word in re.findall(r"\w+", asked(messages))} - PLAIN
    for function in functions:
        named = re.findall(r"[a-z]+|[A-Z][a-z]*", str(function.get("name"))) + re.findall(
            r"\w{4,}", str(function.get("description", ""))
        )
        if words & ({word.lower() for word in named} - PLAIN):
            return function
    return functions[0] if choice == "required" else None


def example(schema: Any, question: str, name: str = "") -> Any:
    """A value that fits a JSON schema, with words of the question where it asks for text."""
    schema = schema if isinstance(schema, dict) else {}
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return next(
            (value for value in schema["enum"] if str(value).lower() in question.lower()),
            schema["enum"][0],
        )
    for either in ("anyOf", "oneOf"):
        if schema.get(either):
            return example(schema[either][0], question, name)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    number = re.search(r"-?\d+(?:\.\d+)?", question)
    match kind:
        case "object":
            return {
                key: example(value, question, key)
                for key, value in (schema.get("properties") or {}).items()
            }
        case "array":
            return [example(schema.get("items"), question, name)]
        case "integer":
            return int(float(number[0])) if number else schema.get("minimum", 1)
        case "number":
            return float(number[0]) if number else schema.get("minimum", 1.5)
        case "boolean":
            return True
        case "null":
            return None
    if schema.get("format") == "date" or "date" in name.lower():
        dated = re.search(r"\d{4}-\d\d-\d\d", question)
        return dated[0] if dated else "2026-01-15"
    place = re.search(r"\b(?:in|at|for|from|to|of) ((?:[A-Z][\w'-]+ ?)+)", question)
    return place[1].strip() if place else " ".join(keywords(question)[:4]) or "example"


# A composer a topic: the first whose pattern matches answers, unless it has nothing to say. ------------------------


def _plain(section: str) -> Callable[[Asked], str]:
    return lambda asked: asked.prose(section)


def _title(asked: Asked) -> str:
    quoted = re.search(r"(?s)[:\n](.+)", asked.question)
    about = " ".join(keywords(quoted[1] if quoted else asked.question)[:5])
    return (about[:1].upper() + about[1:])[:49].strip() or "A short conversation"


def _assessment(asked: Asked) -> str:
    """Of the conversation that stands there as JSON, as far as it could be read: what proxy.jobs.metadata asks for, reckoned from lengths and words."""
    found = re.findall(r'"role":"(user|assistant)","text":("(?:[^"\\]|\\.)*")', asked.question)
    said = {
        who: [str(orjson.loads(text)) for role, text in found if role == who]
        for who in ("user", "assistant")
    }
    about, person, answers = (
        subject(said["user"][0] if said["user"] else "").strip(" ,"),
        " ".join(said["user"]).lower(),
        "\n".join(said["assistant"]),
    )
    words, questions = len(answers.split()), len(said["user"])
    made = next(
        (
            name
            for name, sign in (
                ("code", "```"),
                ("a table", "|---"),
                ("a list", "\n- "),
                ("a list", "\n1. "),
            )
            if sign in answers
        ),
        "an explanation",
    )
    pleased, displeased = (
        re.search(r"\b(thanks?|great|perfect|danke|merci|gracias)\b", person),
        re.search(r"\b(wrong|not what|doesn't|still)\b", person),
    )
    language = max(WORDS_OF, key=lambda name: len(re.findall(rf"\b(?:{WORDS_OF[name]})\b", person)))
    return orjson.dumps(
        {
            "chat_summary": f"The person asked about {about}"
            + (
                f", and went on {questions - 1} times."
                if questions > 2
                else ", and went on once."
                if questions == 2
                else "."
            ),
            "description": f"{questions} messages of a person and {len(said['assistant'])} answers about {about}.",
            "llm_deliverables": f"{made.capitalize()} of {words} words in all."
            if words
            else "Nothing.",
            "languages": language,
            "satisfaction_score": 9 if pleased else 4 if displeased else 7,
            "work_related": not re.search(
                r"\b(horror|birthday|recipe|holiday trip|poem|joke|football|game)\b", person
            ),
            "user_seconds_saved": round(1.5 * words),  # as long as typing takes
            "assistant_seconds_saved": 3 * words,
            "assistant_wage": 35,
        }
    ).decode()


def _greeting(asked: Asked) -> str:
    return asked.prose("greeting") if len(asked.question.split()) <= 6 else ""


def _thanks(asked: Asked) -> str:
    return asked.one_of("thanks: openings") if len(asked.question.split()) <= 8 else ""


def _story(asked: Asked) -> str:
    story = PROSE["story"].splitlines()
    if "another sentence" in asked.question.lower():
        told = sum(sentence in asked.earlier for sentence in story)
        return story[told % len(story)] if told else ""
    if re.search(r"\b(1|one|a single)[ -]sentence\b", asked.question.lower()):
        return story[asked.variant % len(story)]
    return "\n\n".join(story)


def _poem(asked: Asked) -> str:
    return re.sub(
        r"(?<=\w[,.])\n(?!\n)", "  \n", asked.prose("poem")
    )  # Markdown's line break: two blanks


def _sum(asked: Asked) -> str:
    found = re.search(
        r"(-?\d+(?:\.\d+)?)\s*(\+|-|\*|x|/|times|plus|minus|divided by)\s*(-?\d+(?:\.\d+)?)",
        asked.question.lower(),
    )
    if not found:
        return ""
    one, sign, two = float(found[1]), found[2], float(found[3])
    match sign:
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


def _code(asked: Asked) -> str:
    words = asked.question.lower()
    name = (
        "_".join(
            word
            for word in (re.sub(r"\W", "", word.lower()) for word in asked.words)
            if not re.match(rf"(?:{CODE})$", word)
        )[:30].strip("_")
        or "example"
    )
    first, *rest = name.split("_")
    languages = (
        ("sql", r"\bsql|\bquery"),
        ("bash", r"\bbash|\bshell|command line|\bcron"),
        ("javascript", r"\b(?:java|type)script|\bjs\b|\breact|\bnode"),
    )
    language = next(
        (language for language, pattern in languages if re.search(pattern, words)), "python"
    )
    code = asked.prose(
        language, name=name, camel=first + "".join(word.capitalize() for word in rest)
    )
    return asked.prose("code", language=language, code=code, notes=PROSE[f"{language}: notes"])


def _fault(asked: Asked) -> str:
    errors = re.findall(
        r"\b[A-Z]\w*(?:Error|Exception|Warning)\b(?:: [^\n]{1,120})?", asked.question
    )
    return asked.prose("fault", name=errors[-1] if errors else asked.about)


def _table(asked: Asked) -> str:
    names = [
        word
        for word in [*asked.words, "Planning", "Delivery", "Review"]
        if word.lower() not in ("table", "markdown", "columns")
    ]
    return asked.prose(
        "table",
        **{
            place: name.capitalize()
            for place, name in zip(("first", "second", "third"), names, strict=False)
        },
    )


def _comparison(asked: Asked) -> str:
    found = re.search(
        r"(?:compare|between)\s+(.+?)\s+(?:and|with|to|against)\s+(.+?)(?:[.?!,:]|\s+(?:for|when|in|on)\b|$)",
        asked.question,
        re.I,
    ) or re.search(r"(\S+)\s+(?:vs\.?|versus|or)\s+(\S+?)(?:[.?!,:\s]|$)", asked.question, re.I)
    if not found:
        return ""
    one, two = (
        " ".join(re.sub(r"^(?:a|an|the)\s+", "", side.strip(), flags=re.I).split()[:5])
        for side in found.groups()
    )
    return asked.prose("comparison", one=one, two=two)


def _summary(asked: Asked) -> str:
    body = asked.question.partition(":")[2] or asked.question.partition("\n")[2]
    sentences = [
        sentence.strip()
        for paragraph in body.split("\n")
        for sentence in re.split(r"(?<=[.!?])\s+", paragraph)[:1]
        if len(sentence.split()) > 3
    ]
    if sentences:
        return asked.prose(
            "summary",
            count=str(len(body.split())),
            points="\n".join(f"- {sentence}" for sentence in sentences[:5]),
        )
    return f"**In short:** {' '.join(asked.earlier.split()[:45])} …" if asked.earlier else ""


def _translation(asked: Asked) -> str:
    language = next(
        (word for word in re.findall(r"\w+", asked.question.lower()) if word in LANGUAGES), "german"
    )
    return asked.prose("translation", language=language.capitalize(), text=PROSE[language])


def _general(asked: Asked) -> str:
    return asked.prose(
        "general",
        extra=next(
            (word for word in asked.words if word.lower() not in asked.about.lower()),
            "the key terms",
        ),
    )


WORDS_OF = {
    "English": "the|is|and|of|how|to",
    "German": "der|die|das|und|ist|nicht|wie",
    "French": "le|la|les|est|et|une|comment",
    "Spanish": "el|los|las|es|una|cómo|qué",
}
CODE = r"python|javascript|typescript|sql|bash|regex|function|script|code|react|shell|query|program|class|method|node"
TOPICS: list[tuple[str, Callable[[Asked], str]]] = [
    (r"^assess this conversation\b", _assessment),
    (
        r"\btitle\b.*\b(conversation|chat|messages?)\b|\b(conversation|chat|messages?)\b.*\btitle\b",
        _title,
    ),
    (r"traceback \(most recent call last\)|\b\w+(error|exception)\b", _fault),
    (r"horror|another sentence", _story),
    (r"\b(poem|haiku|limerick|rhyme)\b", _poem),
    (r"\btranslat\w+|\bin(to)? (german|french|spanish|italian|japanese)\b", _translation),
    (r"\bsummar\w+|\btl;?dr\b|\bshorter\b", _summary),
    (
        r"\b(phish\w*|malware|ransomware|password|breach|vulnerab\w+|cve|incident|suspicious|firewall)\b",
        _plain("security"),
    ),
    (rf"\b({CODE})\b", _code),
    (r"\bcompar\w+|\bdifferences?\b|\bvs\.?(\s|$)|\bversus\b", _comparison),
    (r"\btables?\b", _table),
    (r"\b(e-?mail|letter|reply to|invitation|memo)\b", _plain("email")),
    (
        r"\b(holiday|vacation|annual leave|parental leave|sick|payroll|remote work|home office|probation|hr)\b",
        _plain("staff"),
    ),
    (r"\d\s*(\+|-|\*|x|/|times|plus|minus|divided by)\s*-?\d", _sum),
    (r"\b(list|ideas|steps|checklist|plan|tips|agenda|points)\b", _plain("list")),
    (r"^\W*(hi|hello|hey|good (morning|afternoon|evening)|hallo)\b", _greeting),
    (r"\b(thanks|thank you|cheers)\b", _thanks),
]
