"""A call by a person whose name stands wherever one can."""

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory
from django.utils import timezone

from conversations import record
from conversations.models import Review, Snapshot, User
from conversations.people import audit
from conversations.proof import sealing
from conversations.record import CallRequest
from conversations.search import index
from conversations.tests.calls import person, turn, user
from llmgateway.tests.paths import PNG
from llmgateway.tests.pseudonyms.zelda import ACTION, PERSONAL, WHO
from proxy.models import ApiKey


@pytest.fixture
def call(settings) -> Snapshot:
    """By somebody whose name stands wherever a client and a company can put one."""
    settings.PSEUDONYMS = True
    zelda = User.objects.create_user(WHO, **PERSONAL)
    key = ApiKey.make(zelda, f"{WHO}'s laptop")[0]
    said = {
        "user": f"u{WHO}",
        "safety_identifier": f"s{WHO}",
        "metadata": {"who": WHO},
        "prompt_cache_key": WHO,
        "headers": {"from": WHO},
    }
    by = {
        "key": f"gw-{WHO}",
        "address": "198.51.100.77",
        "user_agent": f"agent/{WHO}",
        "end_user": f"u{WHO}",
    }
    image = {"type": "image_url", "image_url": {"url": PNG}}
    question = user([{"type": "text", "text": "which invoices are late"}, image]) | {
        "name": WHO,
        "sender": {"mail": WHO},
    }
    call = turn(
        zelda,
        [question],
        "these",
        params=said,
        session_key=f"session-{WHO}",
        classic={"title": f"J{WHO}"},
        **by,
    )
    index.index_messages([call.id])
    refused = record.refuse(
        CallRequest(owner=zelda.pk, kind="chat", model="m", body={"model": "m", **said}, **by),
        "no_model",
        "No such model.",
    )
    assert refused
    Review.objects.create(
        conversation=call.conversation, source=Review.Source.SAMPLED, due=timezone.now()
    )
    request = RequestFactory().get("/", headers={"User-Agent": f"agent/{WHO}"})
    request.user, request.client_address = AnonymousUser(), "198.51.100.77"  # type: ignore[attr-defined]
    audit.record(request, ACTION.SIGN_IN_FAILED, zelda, name=WHO)
    request.user = zelda
    audit.record(request, ACTION.ADDED, key, name=str(key))
    audit.record(person("admin"), ACTION.CHANGED, zelda, name=WHO)
    audit.record(
        person("rose"),
        ACTION.LIST,
        Snapshot,
        filter={"user": WHO, "source": f"gw-{WHO}", "job_title": f"J{WHO}"},
    )
    sealing.seal()
    return call
