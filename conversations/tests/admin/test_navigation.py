"""The desk's navigation: one group in the order of work, of what the account may open."""

import pytest
from django.test import Client

from conversations.models import User
from conversations.tests.cast import client_of

pytestmark = pytest.mark.django_db
DESK = [
    "Queue",
    "Conversations",
    "Calls",
    "Decisions",
    "Cases",
    "Exports",
    "Usage report",
    "Reviewers’ report",
    "Audit trail",
    "Access review",
    "Checks of the record",
]
NAVIGATION: dict[str, list[str]] = {
    "Lead": DESK,
    "Reviewer": ["Queue", "Conversations", "Calls", "Cases", "Exports", "Usage report"],
    "Auditor": ["Decisions", *DESK[DESK.index("Usage report") :]],
    "Records manager": ["Usage report"],
    "Gateway admin": ["Usage report"],
}


def groups(client: Client) -> dict[str, list[str]]:
    listed = client.get("/admin/").context["app_list"]
    return {app["app_label"]: [str(each["name"]) for each in app["models"]] for app in listed}


@pytest.mark.parametrize("group", NAVIGATION)
def test_the_desk_stands_first_in_the_order_of_work(group):
    listed = groups(client_of("someone", group))
    assert next(iter(listed)) == "desk"
    assert listed["desk"] == NAVIGATION[group]
    assert not {*DESK} & {name for app, names in listed.items() if app != "desk" for name in names}


def test_every_entry_leads_to_a_page_and_says_where_its_reader_is():
    client = client_of("both", "Lead", "Auditor", is_superuser=True)
    for app in client.get("/admin/").context["app_list"]:
        assert app["models"], app["name"]
        for entry in app["models"]:
            response = client.get(entry["admin_url"])
            assert response.status_code == 200
            page = response.content.decode()
            assert f'<a href="{entry["admin_url"]}" aria-current="page">' in page, entry["name"]


def test_the_zone_of_times_is_said_on_every_page():
    client = client_of("lea", "Lead")
    User.objects.filter(username="lea").update(time_zone="Europe/Berlin")
    for path in ("/admin/", "/admin/queue/", "/admin/cases/", "/admin/exports/"):
        assert "Times are in Europe/Berlin." in client.get(path).content.decode(), path
