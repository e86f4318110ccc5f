"""What an upstream says went wrong, in every spelling, as OpenAI's error object. Pure.

OpenAI's {"error": {…}}; a list of such (Google); `errors`; `error_code` and `error_msg`;
`base_resp`, which tells of success too; `detail`, a text or a list of places and messages;
`object: "error"`; a bare message; a text that is no JSON.
"""

import re
from http import HTTPStatus
from typing import Any

from conversations import exact_json
from conversations.shape import Json

from . import events

# Characters of a message. What is shown is shorter: secrets are looked for before it is cut.
LONGEST = 20_000
WORDS = (
    "message",
    "Message",
    "msg",
    "error_msg",
    "error_message",
    "status_msg",
    "error_description",
    "faultstring",  # Apigee's
    "detail",
    "title",
    "error",
)
CODES = ("code", "error_code", "status_code", "status")
# Fields that may say, of any object, that something went wrong.
MARKS = frozenset(
    {"error", "errors", "exception", "fault", "success", "error_msg", "error_code", "base_resp"}
)
OURS = ("message", "type", "param", "code")
NAME = re.compile(r"[A-Za-z][\w.-]*")  # of an error, as against its words
UNSAID = ("None", "null")  # what Python and JavaScript make of nothing
FINE = {"0", "200", "ok", "success", "none", "null", "no error", "false", 200}  # of no error
KINDS = (*CODES, "type", "title", "object")  # fields that may name the kind of an error
BAD = re.compile(
    "error|exception|fail|fault|invalid|denied|forbidden|unauthori|exceed|overload|unavailable"
    "|not.?found|time.?out|timed.?out|limit|quota|abort|refus|reject|unsupported|exhausted",
    re.IGNORECASE,
)


def parse(data: bytes) -> Json:
    """Read what came as an error, whatever it is: also behind a BOM, or as an event of a stream."""
    data = data.removeprefix(events.BOM)
    if events.is_stream(data):
        data = next((said for _, said, _, _ in events.read(data) if said), data)
    try:
        value = exact_json.loads(data)
    except ValueError:
        value = _read_text(data)
    return find(value, is_failed=True) or make(None)


def _read_text(data: bytes) -> str | None:
    """Return the words of a body that is no JSON; None of a page, and of bytes."""
    try:
        text = data.decode().strip()
    except UnicodeDecodeError:
        return None
    is_text = "".join(text.split()).isprintable() and not text.startswith("<")
    return text if is_text else None


def find(value: Any, *, is_failed: bool = False) -> Json | None:
    """Return the error that a body holds; None where it holds none.

    `is_failed`: the status or the event's name say that it is one, so that a bare message counts.
    """
    if isinstance(value, list):
        found = [error for each in value[:10] if (error := find(each, is_failed=is_failed))]
        return found[0] if found else None
    if not isinstance(value, dict):
        return make(value) if is_failed and isinstance(value, str) and value else None
    for name in ("error", "errors", "exception", "fault"):
        if is_error(value.get(name)):
            return make(_unpack(value[name]), value)
    if value.get("success") is False:
        return make(value)
    answers = value.get("base_resp")
    if isinstance(answers, dict) and is_error(answers):
        return make(answers) if answers.get("status_code") else None
    if is_error(value.get("error_msg")) or is_error(value.get("error_code")):
        return make(value)
    if not is_failed and ("choices" in value or "data" in value or not is_bare_error(value)):
        return None
    return make(value)


def _unpack(problem: Any) -> Any:
    """Return what stands in a text that is an error's JSON; anything else as it is."""
    if not (isinstance(problem, str) and problem.startswith("{")):
        return problem
    try:
        inner = exact_json.loads(problem)
    except ValueError:
        return problem
    return inner.get("error") or inner


def is_error(value: Any) -> bool:
    """Tell an error from its empty form: null, {}, {"code": 0, "message": ""}, "none"."""
    said = value.values() if isinstance(value, dict) else [value]
    words = (each.casefold() if isinstance(each, str) else each for each in said)
    return any(each and (isinstance(each, dict | list) or each not in FINE) for each in words)


def is_notice(value: Json) -> bool:
    """Tell whether words in an event of a stream are none of an error, as far as they say.

    Servers tell of queues, progress and success by the fields in which others tell of errors.
    """
    if value.get("object") == "error" or value.get("success") is False:
        return False
    if any(is_error(value.get(mark)) for mark in MARKS - {"success"}):
        return False
    details = value.get("detail")
    if isinstance(details, list) and any(isinstance(each, dict) for each in details):
        return False  # places and messages: a request that was refused
    return not any(_is_bad(value.get(name)) for name in KINDS)


def _is_bad(kind: Any) -> bool:
    """Tell whether a code, status or type is one of an error."""
    if isinstance(kind, str):
        is_number = re.fullmatch(r"-?[0-9]{1,9}", kind)
        return _is_bad(int(kind)) if is_number else BAD.search(kind) is not None
    return type(kind) is int and kind not in range(300)


def is_bare_error(value: Json) -> bool:
    """Tell whether an object without a mark of an error is one: words, and a code beside them."""
    if isinstance(value.get("detail"), list) and value["detail"]:
        return True
    says = isinstance(value.get("message") or value.get("detail"), str)
    return says and any(value.get(name) for name in ("code", "status", "status_code", "type"))


def make(problem: Any, around: Json | None = None) -> Json:
    """Return message, type, param and code; each None where nothing says it."""
    if isinstance(problem, list) and problem and isinstance(problem[0], dict):
        fields = problem[0]
    else:
        fields = problem if isinstance(problem, dict) else {}
    error = {
        "message": words(problem) or (words(around) if around else "") or None,
        "type": _short(fields.get("type")),
        "param": _short(fields.get("param")),
        "code": _read_code(fields),
    }
    if error["code"] is None and around:
        error["code"] = _read_code(around)
    if isinstance(problem, str) and around:
        error |= _read_beside(problem, around, error["code"])
    said = [fields.get(name) for name in CODES]
    status = next((each for each in said if type(each) is int and 400 <= each < 600), None)
    return error | {"status": status} if status else error


def _read_beside(problem: str, around: Json, code: str | None) -> Json:
    """Read what stands beside an error that is a text: then that is its name, or a heading."""
    said = next((around[name] for name in WORDS if name != "error" and around.get(name)), None)
    beside = words(said)
    if not beside or beside in problem:
        return {}
    if not NAME.fullmatch(problem):
        return {"message": f"{problem}: {beside}"[:LONGEST]}
    return {"message": beside, "code": problem if not code or code.isdigit() else code}


def words(problem: Any) -> str:
    """Return what it says, as one text."""
    if isinstance(problem, str):
        return problem[:LONGEST]
    if isinstance(problem, list):
        return "; ".join(filter(None, map(words, problem[:10])))[:LONGEST]
    if not isinstance(problem, dict):
        return "" if problem is None else str(problem)[:LONGEST]
    said = next((problem[name] for name in WORDS if problem.get(name)), None)
    if said is None:
        rest = {key: each for key, each in problem.items() if each and key not in (*OURS, *CODES)}
        return "; ".join(f"{key}: {words(each)}" for key, each in rest.items())[:LONGEST]
    place = problem.get("loc")
    where = ".".join(map(str, place)) + ": " if isinstance(place, list) else ""
    behind = problem.get("metadata")
    raw = behind.get("raw") if isinstance(behind, dict) else None
    more = words(parse(raw.encode(errors="replace"))) if isinstance(raw, str) else ""
    return (where + words(said) + (more and f": {more}"))[:LONGEST]


def _read_code(fields: Json) -> str | None:
    """Return the code as a name; what only numbers are is told by the word beside it."""
    said = [fields.get(name) for name in CODES]
    names = [each for each in said if isinstance(each, str) and _short(each)]
    names = [each for each in names if not each.isdigit()]
    if names:
        return names[0][:LONGEST]
    number = next((each for each in said if each), None)
    return _short(number)


def tell_status(status: int) -> str:
    """Return the words for an error that has none."""
    return f"The model's server answered {status}."


def name_status(status: int) -> str:
    """Return a code for a status: 429 → too_many_requests."""
    try:
        return HTTPStatus(status).phrase.lower().replace(" ", "_").replace("-", "_")
    except ValueError:
        return f"status_{status}"


def _short(value: Any) -> str | None:
    return str(value)[:LONGEST] if value and value not in UNSAID else None
