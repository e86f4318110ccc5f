"""Every error code of ours: in one place, and known wherever codes are read."""

import ast
import contextlib
import copy
import inspect
import pickle
import re
import uuid
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from conversations.models import Snapshot
from conversations.reading import call_words
from proxy import faults
from proxy.api.schema import DOCUMENT
from proxy.faults import OUTSIDE_CALLS, Code, Fault
from proxy.relay import metrics
from proxy.relay.causes import ENDINGS, Cause

ROOT = Path(__file__).resolve().parents[2]
UPSTREAMS_WORDS = "proxy/demo"  # it plays an upstream: its codes are an upstream's
ELSEWHERE = {  # literals that are no code of a fault, or that stand below this app
    ("conversations/record/orphans.py", "gateway_stopped"),
    ("conversations/record/orphans.py", "record_not_writable"),
    ("proxy/api/errors.py", "request_too_large"),  # Anthropic's type of an error
    ("proxy/user_token.py", "token_missing"),  # a variable of templates
    ("templates/_token_notice.html", "token_missing"),
}


def sources():
    """Path → source, of all product code in Python."""
    for path in sorted(
        each
        for app in ("conversations", "proxy", "llmgateway")
        for each in (ROOT / app).rglob("*.py")
    ):
        name = str(path.relative_to(ROOT))
        if not {"tests", "migrations"} & {*path.parts} and not name.startswith(UPSTREAMS_WORDS):
            yield name, path.read_text()


def codes_used(source):
    """X of each `Code.X`."""
    return {
        node.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "Code"
    }


def literals(source):
    """Strings of the source that are, or hold as a word, a code of ours; docstrings apart."""
    tree = ast.parse(source)
    docstrings = {
        ast.get_docstring(node, clean=False)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value not in docstrings
        ):
            text = node.value
            yield from ({text} | {word for word in text.split() if "_" in word}) & {*Code}


def is_counted(code):
    return code in metrics.CODES | OUTSIDE_CALLS


def is_described(code):
    schema = DOCUMENT["paths"]["/v1/chat/completions"]["post"]["responses"]["400"]
    schema = schema["content"]["application/json"]["schema"]["properties"]["error"]
    described = schema["properties"]["code"]
    return code in described["examples"] and f"`{code}`: " in described["description"]


def has_words(code):
    """Whether a page says the fault's own words and offers to ask again: no provider refused."""
    call = Snapshot(status=Snapshot.Status.FAILED, error_code=code, error="Words.")
    problem = call_words.describe_problem(call)
    return problem and (problem.title, problem.text, problem.action) == (
        "No answer",
        "Words.",
        "retry",
    )


def test_every_code_that_is_used_is_known_wherever_codes_are_read():
    used = {name for _, source in sources() for name in codes_used(source)}
    assert used == {*Code.__members__}
    for code in Code:
        assert code.meaning
        assert is_counted(code)
        assert is_described(code)
        assert has_words(code)


def test_a_made_up_code_is_noticed():
    assert codes_used("raise Fault(400, Code.MADE_UP)") == {"MADE_UP"}
    assert not is_counted("made_up")
    assert not is_described("made_up")
    assert not has_words("content_filter")  # an upstream's, of which a page says something else


def test_codes_are_written_nowhere_else():
    found = {
        (path, text)
        for path, source in sources()
        if path != "proxy/faults.py"
        for text in literals(source)
    }
    names = "|".join(code for code in Code if "_" in code)
    for path in (*(ROOT / "templates").rglob("*.html"), *(ROOT / "static").glob("*.js")):
        name = str(path.relative_to(ROOT))
        found |= {(name, text) for text in re.findall(rf"\b({names})\b", path.read_text())}
    assert found == ELSEWHERE
    assert {text for _, text in ELSEWHERE} <= {*Code}


def test_a_literal_is_noticed():
    source = 'def f():\n    "overloaded"\n    return ["overloaded", "a not_yet b", "not yet"]'
    assert {*literals(source.replace('    "overloaded"\n', ""))} == {"overloaded", "not_yet"}


def test_faults_are_made_by_their_makers():
    for path, source in sources():
        if path != "proxy/faults.py":
            assert not re.search(r"\bFault\(", source), path


def makers():
    return {
        name
        for name, value in vars(faults).items()
        if inspect.isfunction(value)
        and not name.startswith("_")
        and inspect.signature(value).return_annotation is Fault
    }


def test_the_tree_names_every_maker():
    lines = re.findall(r"^(?:│| ) +[├└]── (.+)$", faults.__doc__, re.MULTILINE)
    named = [name for line in lines for name in line.partition(":")[0].split(", ")]
    named += re.findall(r"^└── .+: (.+)$", faults.__doc__, re.MULTILINE)[0].split(", ")
    assert sorted(named) == sorted(makers())


# What each says ---------------------------------------------------------------------------------

REQUEST, SERVER, UPSTREAM = "invalid_request_error", "server_error", "upstream_error"


@pytest.mark.parametrize(
    ("fault", "status", "code", "type"),
    [
        (faults.invalid_request("n", "Words."), 400, "invalid_request", REQUEST),
        (faults.invalid_json("Words."), 400, "invalid_json", REQUEST),
        (faults.body_incomplete(), 400, "body_incomplete", REQUEST),
        (faults.request_too_large(20 << 20), 413, "request_too_large", REQUEST),
        (faults.too_many_values(ValueError("too much")), 413, "request_too_large", REQUEST),
        (faults.unsupported_encoding(), 415, "unsupported_encoding", REQUEST),
        (faults.unsupported_media_type(), 415, "unsupported_media_type", REQUEST),
        (faults.unsupported_parameter("n", "Words."), 400, "unsupported_parameter", REQUEST),
        (faults.not_found(), 404, "not_found", REQUEST),
        (faults.model_not_found(), 404, "model_not_found", REQUEST),
        (faults.conversation_not_found(), 404, "conversation_not_found", REQUEST),
        (faults.endpoint_not_supported("x"), 404, "endpoint_not_supported", REQUEST),
        (faults.not_yet(), 404, "not_yet", REQUEST),
        (faults.nothing_to_title(), 400, "nothing_to_title", REQUEST),
        (faults.nothing_to_assess(), 400, "nothing_to_assess", REQUEST),
        (faults.assessments_off(), 404, "metadata_check_off", REQUEST),
        (faults.token_missing("Words."), 400, "token_missing", REQUEST),
        (faults.scope_missing("Words."), 403, "scope_missing", "permission_error"),
        (faults.not_permitted("Words."), 403, "not_permitted", "permission_error"),
        (faults.not_allowed(), 403, "not_allowed", "permission_error"),
        (faults.policy_not_accepted("Words."), 403, "policy_not_accepted", "permission_error"),
        (faults.export_limit_reached(1, 2), 429, "export_limit_reached", "rate_limit_error"),
        (faults.overloaded(), 503, "overloaded", SERVER),
        (faults.share_taken(), 503, "overloaded", SERVER),
        (faults.no_room_to_parse(), 503, "overloaded", SERVER),
        (faults.upstream_full(), 503, "overloaded", SERVER),
        (faults.record_not_writable(), 503, "record_not_writable", SERVER),
        (faults.end_not_recorded(), 503, "record_not_writable", SERVER),
        (faults.answer_not_kept(), 502, "answer_not_kept", UPSTREAM),
        (faults.call_lost(), 503, "gateway_stopped", SERVER),
        (faults.internal_error(), 500, "internal_error", SERVER),
        (faults.upstream_missing(), 502, "upstream_missing", SERVER),
        (faults.upstream_misconfigured("Words."), 502, "upstream_misconfigured", SERVER),
        (faults.address_barred(), 502, "upstream_misconfigured", SERVER),
        (faults.credentials_missing("Words."), 502, "upstream_credentials", SERVER),
        (faults.unreachable(), 502, "upstream_unreachable", UPSTREAM),
        (faults.connect_timeout(), 504, "upstream_timeout", UPSTREAM),
        (faults.reply_timeout(), 504, "upstream_timeout", UPSTREAM),
        (faults.untrusted(), 502, "upstream_tls", UPSTREAM),
        (faults.bad_reply("Words."), 502, "upstream_bad_reply", UPSTREAM),
        (faults.empty_answer(), 502, "upstream_bad_reply", UPSTREAM),
        (faults.no_object(), 502, "upstream_bad_reply", UPSTREAM),
        (faults.reply_too_large(), 502, "upstream_bad_reply", UPSTREAM),
        (faults.no_event(), 502, "upstream_bad_reply", UPSTREAM),
        (faults.truncated(), 502, "upstream_truncated", UPSTREAM),
        (faults.upstream_failed("Words."), 502, "upstream_failed", UPSTREAM),
        (faults.upstream_credentials(), 502, "upstream_credentials", UPSTREAM),
        (faults.token_refused(), 502, "token_refused", UPSTREAM),
        (faults.client_gone(), 499, "client_gone", SERVER),
        (faults.stopped(), 499, "stopped", SERVER),
        (faults.silent(), 504, "upstream_timeout", SERVER),
        (faults.too_long(), 504, "upstream_timeout", SERVER),
        (faults.gateway_stopped(), 503, "gateway_stopped", SERVER),
        (faults.by_status(401, "Words."), 401, "invalid_api_key", "authentication_error"),
        (faults.by_status(405, "Words."), 405, "method_not_allowed", REQUEST),
        (faults.by_status(429, "Words."), 429, "rate_limit_exceeded", "rate_limit_error"),
        (faults.by_status(414, "Words."), 414, None, REQUEST),
        (faults.by_status(500, "Words."), 500, None, SERVER),
        (faults.recorded("their_own", "Words."), 502, "their_own", UPSTREAM),
    ],
    ids=str,
)
def test_what_each_says(fault, status, code, type):
    assert (fault.status, fault.code, fault.type, str(fault)) == (status, code, type, str(code))
    assert fault.text.endswith(".")


def error(code=None, param=None):
    return {"message": "Words.", "code": code, "param": param}


@pytest.mark.parametrize(
    ("answered", "code", "status", "ours", "type"),
    [
        (401, "theirs", 502, "upstream_credentials", UPSTREAM),
        (407, "theirs", 502, "upstream_credentials", UPSTREAM),
        (504, None, 504, "upstream_timeout", UPSTREAM),
        (504, "theirs", 504, "theirs", UPSTREAM),
        (500, None, 502, "upstream_failed", UPSTREAM),
        (302, None, 502, "upstream_failed", UPSTREAM),
        (429, "theirs", 429, "theirs", "rate_limit_error"),
        (400, None, 400, "bad_request", REQUEST),
        (422, "42", 422, "unprocessable_entity", REQUEST),
        (429, "429", 429, "too_many_requests", "rate_limit_error"),
        (503, "503", 502, "upstream_failed", UPSTREAM),
    ],
)
def test_an_upstreams_error_as_the_callers(answered, code, status, ours, type):
    fault = faults.refused(answered, error(code), retry_after="7")
    assert (fault.status, fault.code, fault.type) == (status, ours, type)
    assert fault.answered == answered


def test_a_token_that_was_refused():
    assert faults.refused(403, error(), "Bearer t").code == Code.TOKEN_REFUSED
    assert faults.refused(407, error(), "Bearer t").code == Code.UPSTREAM_CREDENTIALS


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_an_ending(cause):
    status, make = ENDINGS[cause]
    assert status in Snapshot.Status
    assert make().code in Code


@pytest.mark.parametrize(
    ("words", "code", "status", "ours"),
    [
        ("Your input was flagged: violence", "403", 403, "content_policy_violation"),
        ("Blocked.", "content_filter", 403, "content_filter"),
        ("Unsupported country or region", None, 403, "forbidden"),
        ("Invalid key", None, 502, "upstream_credentials"),
        ("You have no access to this project.", "theirs", 502, "upstream_credentials"),
        ("Permission denied", None, 502, "upstream_credentials"),
        (None, None, 502, "upstream_credentials"),
    ],
)
def test_a_403_is_not_always_about_credentials(words, code, status, ours):
    fault = faults.refused(403, error(code) | {"message": words})
    assert (fault.status, fault.code) == (status, ours)
    assert words in (fault.text, None) or status == 502


@pytest.mark.parametrize(
    ("fault", "repeats"),
    [
        (faults.truncated(), True),
        (faults.truncated().after_last_try(), False),
        (faults.upstream_credentials(), False),
        (faults.credentials_missing("Words."), False),
        (faults.upstream_misconfigured("Words."), False),
        (faults.address_barred(), False),
        (faults.credential_misplaced(), False),
        (faults.upstream_missing(), False),
        (faults.token_refused(), False),
        (faults.refused(429, error()).after_last_try(), True),
    ],
)
def test_who_need_not_try_again_is_told(fault, repeats):
    assert fault.worth_repeating is repeats


# A fault never changes --------------------------------------------------------------------------


def test_a_fault_is_frozen():
    fault = faults.overloaded()
    for name in ("text", "snapshot", "unsent"):
        with pytest.raises(FrozenInstanceError):
            setattr(fault, name, "x")
    with pytest.raises(FrozenInstanceError):
        del fault.text


def test_what_is_learned_later_comes_as_a_copy():
    fault, snapshot, conversation = faults.bad_reply("Words."), uuid.uuid4(), uuid.uuid4()
    told = fault.about(snapshot, conversation).without_answer().after_last_try()
    assert (told.snapshot, told.conversation, told.answered, told.spent) == (
        snapshot,
        conversation,
        200,
        True,
    )
    assert (told.text, told.code) == (fault.text, fault.code)
    assert (fault.snapshot, fault.answered, fault.spent) == (None, 0, False)
    assert faults.refused(503, error()).without_answer().answered == 503


def test_a_secret_in_its_words_is_hidden(settings):
    settings.LLM_API_AUTHORIZATION = "Bearer t0ken-of-ours"
    words = {"message": "No t0ken-of-ours.", "code": "t0ken-of-ours", "param": "t0ken-of-ours"}
    fault = faults.refused(400, words)
    assert (fault.text, fault.code, fault.param) == ("No [secret].", "[secret]", "[secret]")


@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))]
)
def test_it_can_be_copied_and_pickled(again):
    fault = faults.not_yet().about(uuid.uuid4())
    other = again(fault)
    assert other is not fault
    assert (other.error, other.retry_after, other.snapshot) == (fault.error, "5", fault.snapshot)


def test_python_may_keep_its_traceback_there():
    @contextlib.contextmanager
    def guard():
        yield

    with pytest.raises(Fault) as caught, guard():
        raise faults.stopped() from ValueError("first")
    assert caught.value.__traceback__ is not None
    assert isinstance(caught.value.__cause__, ValueError)
