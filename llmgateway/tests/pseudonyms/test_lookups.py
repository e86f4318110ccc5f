"""Under PSEUDONYMS no error, no total and no address that one can spell tells whose it is."""

from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.contrib.messages import get_messages
from django.db.models import Field, Model
from django.urls import reverse

from conversations.models import AuditEvent, Review, SamplingPolicy, User
from conversations.tests.calls import person
from conversations.tests.cast import client_of
from llmgateway.tests.pseudonyms.zelda import PERSONAL, WHO, transcript_of
from proxy.models import ApiKey, Submission, Upstream

pytestmark = pytest.mark.django_db
DEEP = 2  # relations on the way to a person
REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)


def relations(model: type[Model]) -> list[Field]:
    return [each for each in model._meta.get_fields() if each.is_relation and each.related_model]


def ways_to_people(model: type[Model], deep: int = DEEP) -> Iterator[str]:
    """Spell each path of relations from this model to an account, and from accounts to the rest."""
    for relation in relations(model):
        name = relation.name
        if User in (relation.related_model, model):
            yield name
        if deep > 1:
            yield from (
                f"{name}__{more}" for more in ways_to_people(relation.related_model, deep - 1)
            )


@pytest.fixture
def reader(call):
    """Who may open every list, and reads content under aliases."""
    Submission.objects.create(number=1, snapshot=call.id, sealed=call.opened)
    SamplingPolicy.objects.create(percent=5, seed=b"", made_by=person("admin"))
    Upstream.objects.create(name="ours", base_url="https://192.0.2.1/v1")
    return client_of("both", "Lead", "Auditor", "Gateway admin", is_superuser=True)


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
def test_no_look_up_of_a_list_reaches_a_person(reader, call, model):
    address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    whole = shown(reader, address)
    assert whole is not None
    for way in ways_to_people(model):
        for asked in (f"{way}={call.conversation_id}", f"{way}__username__startswith={WHO}"):
            found = shown(reader, f"{address}?{asked}")
            assert found is None or found >= whole, asked  # a look at the trail adds to it


def test_the_ways_are_found():
    assert {"conversations", "api_keys"} <= set(ways_to_people(User))
    assert "owner" in set(ways_to_people(ApiKey))


def shown(client, address: str) -> set | None:
    """The rows of a list; None where the look-up is refused."""
    response = client.get(address)
    if response.status_code in (302, 400):
        return None
    assert response.status_code == 200, address
    return {row.pk for row in response.context["cl"].result_list}


def test_what_a_list_offers_is_still_filtered_by(reader):
    users = "/admin/conversations/user/"
    assert shown(reader, f"{users}?is_staff__exact=0") < shown(reader, users)
    assert shown(reader, f"{users}?groups__id__exact=0") in (set(), None)


def test_keys_are_not_searched_by_owner(reader, call, settings):
    keys = "/admin/proxy/apikey/"
    assert shown(reader, f"{keys}?q={WHO}") == {
        key.pk for key in ApiKey.objects.filter(name__contains=WHO)
    }
    ApiKey.objects.update(name="laptop")
    assert shown(reader, f"{keys}?q={WHO}") == set()
    settings.PSEUDONYMS = False
    assert shown(reader, f"{keys}?q={WHO}")


def test_one_answer_for_every_assignment_that_is_refused(call):
    """To the owner, to one who reviews another department, to no reviewer, to nobody."""
    lead = client_of("lead", "Lead")
    owner = User.objects.get(username=WHO)
    owner.groups.set(User.objects.get(username="lead").groups.all())
    client_of("elsewhere", "Reviewer", reviews_departments=["Another"])
    client_of("plain")
    client_of("able", "Reviewer")
    said = set()
    for name in (WHO, "elsewhere", "plain", "nobody"):
        response = lead.post(f"/admin/queue/{call.conversation_id}/assign/", {"to": name})
        said |= {str(each) for each in list(get_messages(response.wsgi_request))[-1:]}
        assert Review.objects.get().assignee is None
    assert said == {"This conversation cannot be assigned to that user."}
    tries = AuditEvent.objects.doing("assignment")
    assert tries.count() == 4
    lead.post(f"/admin/queue/{call.conversation_id}/assign/", {"to": "able"})
    assert Review.objects.get().assignee.username == "able"


def test_a_sample_of_one_department_names_and_counts_nobody(call, settings):
    lead, policies = client_of("lead", "Lead"), "/admin/conversations/samplingpolicy/"
    whole = SamplingPolicy.objects.create(
        percent=5, department=PERSONAL["department"], seed=b"", made_by=person("admin")
    )
    Review.objects.update(policy=whole)
    for path in ("/admin/queue/", transcript_of(call)):
        assert whole.department not in lead.get(path).content.decode()

    def drawn() -> str:
        listed = lead.get(policies).context["cl"]
        return listed.model_admin.drawn(listed.result_list[0])

    assert drawn() == "–"
    settings.PSEUDONYMS = False
    assert drawn() == "1"
    assert whole.department in lead.get("/admin/queue/").content.decode()
