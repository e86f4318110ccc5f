"""/v1/models/{id}: what may be asked is there, whether or not a list names it; nothing else is."""

import json
from urllib.parse import quote

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from proxy.models import Model, Route, Upstream
from proxy.tests.gateway import ALICE, CHAT, chat, marked
from proxy.tests.wire import ANSWER, json_reply
from proxy.upstreams import catalogue, routing

pytestmark = pytest.mark.usefixtures("database")

# Names that no list has: a vendor's prefix, a path, tags, a deployment, a fine-tuned model, words.
NAMES = (
    "gpt-unlisted",
    "vendor/model",
    "models/gemini",
    "accounts/a/models/b",
    "llama3:8b",
    "vendor/model:free",
    "ft:gpt-4o:us::id",
    "arn:aws:bedrock:eu-west-1:1:inference-profile/x",
    "name with blanks",
    "ünïcode",
    "100%",
    "a?b#c",
)
# Names of rows, and whether alice may ask for them.
LISTED = {
    "alias": True,
    "group/alias:1": True,
    "hidden from pages": True,
    "for pictures": True,
    "the environment's": True,
    "disabled": False,
    "for others": False,
    "at an upstream that is off": False,
}


@pytest.fixture
def upstream(settings, wire):
    settings.LLM_ENDPOINT = f"{wire.url}{CHAT}"
    wire.answer = lambda sock, request: json_reply(
        json.dumps({"data": [{"id": "theirs"}]} if "GET" in request.line else ANSWER).encode()
    )(sock, request)
    catalogue.forget()
    routing.forget()
    yield wire
    catalogue.forget()
    routing.forget()


@pytest.fixture
def rows(upstream):
    others = Group.objects.create(name="Others")
    on = Upstream.objects.create(name="on", base_url=f"{upstream.url}/v1")
    off = Upstream.objects.create(name="off", base_url=f"{upstream.url}/v1", enabled=False)
    for name in LISTED:
        model = Model.objects.create(
            name=name,
            enabled=name != "disabled",
            offered="hidden" not in name,
            capabilities=["images"] if "pictures" in name else ["chat"],
        )
        if name != "the environment's":
            place = off if "off" in name else on
            Route.objects.create(model=model, upstream=place, order=0, upstream_model="there")
        if name == "for others":
            model.groups.add(others)
    routing.forget()
    yield
    Model.objects.all().delete()
    Upstream.objects.all().delete()
    others.delete()


def check(name: str, *, exists: bool) -> None:
    client = Client(headers={"authorization": f"Bearer {ALICE}"})
    one = client.get(f"/v1/models/{quote(name, safe='')}")
    asked = client.post(CHAT, chat(marked(), model=name), "application/json")
    assert (one.status_code, asked.json().get("error", {}).get("code") == "model_not_found") == (
        (200, False) if exists else (404, True)
    )
    if exists:
        assert one.json()["id"] == name
        assert one.json().keys() >= {"id", "object", "created", "owned_by"}
    else:
        assert one.json()["error"] == asked.json()["error"]


@pytest.mark.parametrize("name", [*NAMES, "theirs"])
def test_without_rows_any_name_may_work(upstream, name):
    check(name, exists=True)


@pytest.mark.parametrize("status", ["404 Not Found", "500 Odd"])
def test_an_upstream_that_has_no_list_still_has_models(upstream, status):
    def answer(sock, request):
        said = json_reply(b"{}", status) if "GET" in request.line else json_reply(FINE)
        said(sock, request)

    upstream.answer = answer
    check("gpt-unlisted", exists=True)


FINE = json.dumps(ANSWER).encode()


@pytest.mark.parametrize(("name", "exists"), LISTED.items(), ids=LISTED)
@pytest.mark.parametrize("others_pass", [False, True])
def test_a_row_says_whether_it_may_be_asked(rows, settings, name, exists, others_pass):
    settings.PASS_OTHER_MODELS = others_pass
    check(name, exists=exists)


@pytest.mark.parametrize("name", [*NAMES, "theirs", "there", "ALIAS", "ali"])
@pytest.mark.parametrize("others_pass", [False, True])
def test_beside_rows_other_names_are_there_where_they_pass(rows, settings, name, others_pass):
    """The upstream's own name for an alias is such a name; so is a part of one."""
    settings.PASS_OTHER_MODELS = others_pass
    check(name, exists=others_pass)


@pytest.mark.parametrize("name", ["x" * 201, "a\tb", "\x7f", "\u2028"])
def test_what_is_no_name_is_no_model(upstream, name):
    one = Client(headers={"authorization": f"Bearer {ALICE}"}).get(
        f"/v1/models/{quote(name, safe='')}"
    )
    assert (one.status_code, one.json()["error"]["code"]) == (404, "model_not_found")
