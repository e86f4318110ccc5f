"""The API does what its description says, and describes all that it does."""

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.test import Client
from django.urls import URLPattern
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from conversations.models import Snapshot, User
from llmgateway.wsgi import application
from proxy.api import authentication, urls_api, urls_v1
from proxy.api.schema import DOCUMENT
from proxy.models import ApiKey

pytestmark = pytest.mark.django_db

schema = schemathesis.openapi.from_wsgi("/api/schema/", application)


@pytest.fixture(autouse=True)
def somebody(settings, upstream):
    settings.LLM_ENDPOINT = f"{upstream.url}/v1/chat/completions"
    authentication.callers.forget()
    alice = User.objects.create(username="alice")
    ApiKey.make(alice, "test", secret="gw-schema-key", scopes=ApiKey.OWN_SCOPES)


@pytest.fixture(autouse=True)
def one_connection():
    """The test's own: what Django's client does for itself."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


KNOWN: set[tuple[object, ...]] = set()  # kinds of wrong requests, each with its operation
few = settings(
    max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


@schema.parametrize()
@few
def test_nothing_that_the_description_allows_is_a_surprise(case):
    if not is_of_a_known_kind(case):
        call(case)


@pytest.mark.drill
@schema.parametrize()
@settings(few, max_examples=16)
def test_nor_is_any_of_many_examples(case):
    call(case)


def is_of_a_known_kind(case: schemathesis.Case) -> bool:
    """Whether a request that is wrong in the same way, at the same place, was sent before."""
    phase, mode = case.meta.phase, case.meta.generation.mode
    if (phase.name.value, mode.value) != ("coverage", "negative"):
        return False
    wrong = phase.data.scenario, phase.data.parameter_location, phase.data.parameter
    known = (case.operation.label, *wrong) in KNOWN
    KNOWN.add((case.operation.label, *wrong))
    return known


def call(case: schemathesis.Case) -> None:
    headers = {"Authorization": "Bearer gw-schema-key"}
    answer = case.call(headers=headers)
    newest = Snapshot.objects.order_by("-id").first()
    passed = (
        newest is not None and newest.status == "failed"
    )  # on to the model's server, which refused it: not the gateway's to describe
    case.validate_response(
        answer, headers=headers, excluded_checks=[positive_data_acceptance] if passed else []
    )
    assert not Snapshot.objects.filter(status="pending").exists()


def test_every_path_is_described():
    served = set()
    for prefix, module in (("/v1/", urls_v1), ("/api/", urls_api)):
        for entry in module.urlpatterns:
            if isinstance(entry, URLPattern) and not str(entry.pattern).startswith("^"):
                served.add(prefix + str(entry.pattern).replace("<path:name>", "{name}"))
    assert served - {"/api/docs/", "/api/schema/"} == set(DOCUMENT["paths"])


def test_the_pages_of_the_description():
    page = Client().get("/api/docs/")
    assert page.status_code == 200
    assert "unsafe" not in page["Content-Security-Policy"]
    assert b"<style" not in page.content
    assert b"https://" not in page.content
    assert Client().get("/api/schema/").json()["openapi"] == "3.1.0"
    assert Client().get("/docs").url == "/api/docs/"
