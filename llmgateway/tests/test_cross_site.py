"""What another site has a person's browser open leaves no evidence in that person's name."""

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from conversations.models import AuditEvent, User
from conversations.tests.calls import person, turn, user
from conversations.tests.cast import signed_in
from llmgateway.tests.paths import PNG, paths
from proxy.api import authentication
from proxy.tests.keys import working_key

pytestmark = pytest.mark.django_db
HERE = "testserver"
FOREIGN = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "something new"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Referer": "https://evil.example/testserver/"},
)
OURS = (
    {},
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none", "Referer": "https://evil.example/"},
    {"Referer": f"http://{HERE}/admin/"},
    {"Origin": f"http://{HERE}"},
)
MORE = (
    "/api/export.csv?purpose=x",
    "/api/export.jsonl?purpose=x",
    "/api/usage?of=everyone",
    "/admin/usage/people.csv",
    "/admin/conversations/conversation/csv/?since=",
)


@pytest.fixture
def reader(db) -> User:
    reader = User.objects.create_user("rosa", is_staff=True)
    reader.groups.set(Group.objects.filter(name__in=["Lead", "Auditor", "Gateway admin"]))
    return reader


def test_each_read_that_is_evidence_is_ones_own(reader):
    picture = {"type": "image_url", "image_url": {"url": PNG}}
    call, client = turn(person("alice"), [user([picture])], "hello"), signed_in(reader)
    recorded = []
    for path in (*paths(call), *MORE):
        before = AuditEvent.objects.count()
        client.get(path).getvalue()
        if AuditEvent.objects.count() == before:
            continue
        recorded.append(path)
        before = AuditEvent.objects.count()
        response = client.get(path, headers={"Sec-Fetch-Site": "cross-site"})
        assert response.status_code == 403, path
        assert AuditEvent.objects.count() == before, path
    assert set(MORE) <= set(recorded)
    assert "/admin/queue/" in recorded


@pytest.mark.parametrize("path", ["/admin/queue/", MORE[0]])
def test_who_asks_is_known_by_each_header(reader, path):
    client = signed_in(reader)
    for headers, status in (*((each, 403) for each in FOREIGN), *((each, 200) for each in OURS)):
        before = AuditEvent.objects.count()
        assert client.get(path, headers=headers).status_code == status, headers
        assert AuditEvent.objects.count() - before == (status == 200), headers


def test_the_page_leads_to_itself(reader):
    page = signed_in(reader).get("/admin/queue/?of=all", headers=FOREIGN[0]).content.decode()
    assert "Open this page yourself" in page
    assert 'href="/admin/queue/"' in page


def test_a_program_with_a_key_is_where_it_is(reader):
    authentication.callers.forget()
    _, secret = working_key(reader, "siem", scopes=["export"])
    headers = {"authorization": f"Bearer {secret}"} | FOREIGN[0]
    assert Client().get(MORE[0], headers=headers).status_code == 200
