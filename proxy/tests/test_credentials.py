"""A credential goes to the hosts that UPSTREAM_SECRETS binds it to, whatever way it leaves."""

import json
import re
import tomllib
from contextlib import nullcontext

import pytest
from django.conf import settings
from django.test import Client, override_settings

from conversations.models import Snapshot
from llmgateway import checks
from proxy import credentials, faults
from proxy.models import Model, Route, Upstream
from proxy.providers.base import Endpoint, Target
from proxy.providers.kinds import KINDS
from proxy.tests.gateway import ALICE, CHAT
from proxy.tests.wire import ANSWER, Wire, json_reply
from proxy.upstreams import routing

QUESTION = {"model": "m", "messages": [{"role": "user", "content": "q"}]}
KEY = "AKIA-0123456789:sk-bound-0123456789"


# Which hosts are meant ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "url", "fine"),
    [
        ("api.example", "https://api.example/v1", True),
        ("API.Example", "https://aPi.eXample/v1", True),
        ("api.example", "https://api.example./v1", True),
        ("api.example.", "https://api.example/v1", True),
        ("api.example", "https://api.example:8443/v1", True),
        ("api.example:443", "https://api.example/v1", True),
        ("api.example:8443", "https://api.example:8443/v1", True),
        ("api.example:8443", "https://api.example/v1", False),
        ("api.example:8443", "https://api.example:9443/v1", False),
        ("api.example", "https://api.example.evil.example/", False),
        ("api.example", "https://evil.example/api.example", False),
        ("api.example", "https://evil.example?api.example", False),
        ("api.example", "https://evil.example/#@api.example", False),
        ("api.example", "https://api.example@evil.example/", False),
        ("api.example", "https://api.example:x@evil.example/", False),
        ("api.example", "https://evil.example\\@api.example/", False),
        ("api.example", "https://evil.example\\.api.example/", False),
        ("api.example", "https://evil.example\t.api.example/", False),
        ("api.example", "https://xapi.example/", False),
        ("api.example", "https://x.api.example/", False),
        ("api.example", "https://api.example../", False),
        ("api.example", "https://аpi.example/", False),  # a Cyrillic letter
        ("api.example", "https://api。example/", False),
        ("api.example", "https://ａpi.example/", False),
        ("api.example", "http://api.example/", False),
        ("api.example", "//api.example/", False),
        ("xn--bcher-kva.example", "https://xn--bcher-kva.example/", True),
        ("xn--bcher-kva.example", "https://bücher.example/", False),
        ("*.openai.azure.com", "https://ours.openai.azure.com/openai/v1", True),
        ("*.openai.azure.com", "https://OURS.OpenAI.azure.com.:443/", True),
        ("*.openai.azure.com", "https://a.b.openai.azure.com/", True),
        ("*.openai.azure.com", "https://openai.azure.com/", False),
        ("*.openai.azure.com", "https://.openai.azure.com/", False),
        ("*.openai.azure.com", "https://evilopenai.azure.com/", False),
        ("*.openai.azure.com", "https://ours.openai.azure.com.evil.example/", False),
        ("*.openai.azure.com", "https://evil。x.openai.azure.com/", False),
        ("*.openai.azure.com", "https://evil.example%2f.openai.azure.com/", False),
        ("*.openai.azure.com:8443", "https://ours.openai.azure.com/", False),
        ("*.0.0.1", "https://127.0.0.1/", False),
        ("*.com", "https://evil.com/", False),
        ("*", "https://evil.example/", False),
        ("", "https://evil.example/", False),
        ("127.0.0.1:8000", "http://127.0.0.1:8000/", True),
        ("127.0.0.1:8000", "http://127.0.0.1:8001/", False),
        ("127.0.0.1", "http://127.1/", False),
        ("[::1]", "https://[0:0:0:0:0:0:0:1]:8000/", True),
        ("[::1]", "https://[::2]/", False),
        ("a@evil.example", "https://evil.example/", False),
        ("evil.example/", "https://evil.example/", False),
        ("*.*.example", "https://a.b.example/", False),
    ],
)
def test_which_host_is_meant(written, url, fine):
    assert credentials.may_go(url, [written]) is fine
    assert credentials.may_go(url, ["other.example", written]) is fine


def test_the_setting_is_read():
    assert credentials.parse_bindings(
        ["A@*.a.example", " B@b.example | c.example:8443 ", "C", "A@d.example", "D@"]
    ) == {
        "A": ("*.a.example", "d.example"),
        "B": ("b.example", "c.example:8443"),
        "C": (),
        "D": ("",),
    }


@pytest.mark.parametrize(
    ("hosts", "found"),
    [
        ((), ["llmgateway.W032"]),
        (("*.openai.azure.com", "127.0.0.1:8000"), []),
        (("*", "*.com", "https://x.example", "x.example:port", ""), ["llmgateway.E032"] * 5),
    ],
)
def test_what_a_check_says_of_the_hosts(hosts, found):
    with override_settings(UPSTREAM_SECRETS={"A": "sk"}, UPSTREAM_SECRET_HOSTS={"A": hosts}):
        messages = checks.upstream(None)
    assert [message.id for message in messages] == found
    assert all("A" in message.msg and "A@api.example" in message.hint for message in messages)
    assert all("0.3" in message.msg for message in messages if message.id.startswith("W", 11))


@pytest.mark.parametrize("passes", [True, False])
def test_a_name_without_hosts_is_a_warning_for_one_version(passes):
    assert settings.UNBOUND_SECRETS_PASS is (settings.VERSION < (0, 3))
    with override_settings(
        UPSTREAM_SECRETS={"A": "sk"}, UPSTREAM_SECRET_HOSTS={"A": ()}, UNBOUND_SECRETS_PASS=passes
    ):
        [message] = checks.upstream(None)
        assert message.id == f"llmgateway.{'W' if passes else 'E'}032"
        assert bool(credentials.find_objection("A", "https://evil.example/")) is not passes
        assert credentials.find_hosts("") is None  # an upstream that wants no credential
        target = Target("openai", "https://evil.example/", "", "sk", credentials.find_hosts("A"))
        with nullcontext() if passes else pytest.raises(faults.Fault):
            KINDS["openai"].request(target, Endpoint.CHAT, QUESTION)


def test_the_version_is_the_packages_and_the_changelogs():
    written = ".".join(map(str, settings.VERSION))
    package = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())
    assert package["project"]["version"] == written
    changes = (settings.BASE_DIR / "CHANGELOG.md").read_text()
    assert re.search("^## ([0-9.]+)", changes, re.MULTILINE)[1] == written


# By the URL that is called -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bound", [True, False])
def test_each_kind_asks_by_the_address_that_it_calls(kind, bound):
    host = "runtime.sagemaker.eu-central-1.amazonaws.com"
    target = Target(kind, f"https://{host}", "", KEY, (host,) if bound else ("api.example",))
    if bound:
        assert KINDS[kind].request(target, Endpoint.CHAT, QUESTION).headers
        return
    with pytest.raises(faults.Fault) as caught:
        KINDS[kind].request(target, Endpoint.CHAT, QUESTION)
    assert (caught.value.code, caught.value.spent) == ("upstream_misconfigured", True)


def test_a_full_address_counts_not_the_root_beside_it():
    urls = {Endpoint.CHAT: "https://evil.example/v1/chat/completions"}
    target = Target("openai", "https://api.example/v1", "", KEY, ("api.example",), urls=urls)
    with pytest.raises(faults.Fault):
        KINDS["openai"].request(target, Endpoint.CHAT, QUESTION)


# At the wire -------------------------------------------------------------------------------------


@pytest.fixture
def evil():
    with Wire() as evil:
        evil.answer = json_reply(json.dumps(ANSWER).encode())
        yield evil


@pytest.fixture
def upstream(database, settings, wire):
    """A row whose credential is for `wire`, and which leads there."""
    settings.UPSTREAM_SECRETS = {"KEY_OF_A": KEY}
    settings.UPSTREAM_SECRET_HOSTS = {"KEY_OF_A": (f"127.0.0.1:{wire.port}",)}
    wire.answer = json_reply(json.dumps(ANSWER).encode())
    wire.seen.clear()
    upstream = Upstream.objects.create(name="ours", base_url=f"{wire.url}/v1", secret="KEY_OF_A")
    Route.objects.create(model=Model.objects.create(name="m"), upstream=upstream)
    routing.forget()
    yield upstream
    Model.objects.all().delete()
    Upstream.objects.all().delete()
    routing.forget()


def ask():
    client = Client(headers={"authorization": f"Bearer {ALICE}"})
    return client.post(CHAT, QUESTION, "application/json")


@pytest.mark.parametrize("kind", ["openai", "azure", "sagemaker_gateway"])
def test_a_row_that_leads_elsewhere_sends_nothing_and_is_on_record(upstream, wire, evil, kind):
    assert ask().status_code == 200
    assert KEY in wire.seen[-1].headers["authorization"]
    Upstream.objects.update(kind=kind, base_url=f"{evil.url}/v1")
    routing.forget()
    response = ask()
    assert (response.status_code, response["x-should-retry"]) == (502, "false")
    assert response.json()["error"]["code"] == "upstream_misconfigured"
    assert evil.accepted == 0
    call = Snapshot.objects.latest("id")
    assert (call.status, call.error_code) == ("refused", "upstream_misconfigured")
    assert "UPSTREAM_SECRETS" in call.error
    assert KEY not in response.content.decode() + call.error


def test_a_redirect_is_followed_nowhere(upstream, wire, evil):
    for status in ("301 Moved", "302 Found", "307 Again", "308 Moved"):
        location = f"Location: {evil.url}/v1/chat/completions\r\n".encode()
        wire.answer = json_reply(b"{}", status, headers=location)
        assert ask().status_code == 502
    assert evil.accepted == 0


@pytest.mark.django_db
def test_the_form_and_the_test_refuse_it_in_words(admin, settings, wire, evil):
    settings.UPSTREAM_SECRETS = {"KEY_OF_A": KEY}
    settings.UPSTREAM_SECRET_HOSTS = {"KEY_OF_A": (f"127.0.0.1:{wire.port}",)}
    form = {"name": "x", "kind": "openai", "secret": "KEY_OF_A", "enabled": "on"}
    add = "/admin/proxy/upstream/add/"
    page = admin.post(add, form | {"base_url": f"{evil.url}/v1"}).content.decode()
    assert f"This credential may be sent to 127.0.0.1:{wire.port} only" in page
    assert not Upstream.objects.exists()
    assert admin.post(add, form | {"base_url": f"{wire.url}/v1"}).status_code == 302
    for kind in KINDS:
        Upstream.objects.update(kind=kind, base_url=f"{evil.url}/v1")
        path = f"/admin/proxy/upstream/{Upstream.objects.get().pk}/test/"
        assert "UPSTREAM_SECRETS says so" in admin.post(path, follow=True).content.decode()
    assert evil.accepted == 0
