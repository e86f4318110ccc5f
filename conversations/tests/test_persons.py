"""One person under all their names: who is the same, and that nobody reviews themselves by one."""

import json
from itertools import pairwise, product

import pytest
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction
from django.test import Client

from conversations.models import (
    Approval,
    AuditEvent,
    Conversation,
    Decision,
    OtherName,
    Review,
    User,
)
from conversations.people import approvals, persons
from conversations.proof import sealing
from conversations.tests.calls import person, turn, user
from conversations.tests.cast import client_of, signed_in
from conversations.tests.reviews import messages_of, waiting

pytestmark = pytest.mark.django_db
QUEUE = "/admin/queue/"
OWN = "your own conversation"


def by_external_id(one: User, other: User) -> None:
    User.objects.filter(pk__in=[one.pk, other.pk]).update(external_id=f"E{one.pk}")


def by_mail(one: User, other: User) -> None:
    for account, mail in ((one, f"M{one.pk}@Firm.example"), (other, f"m{one.pk}@firm.EXAMPLE")):
        User.objects.filter(pk=account.pk).update(email=mail)


def by_admin(one: User, other: User) -> None:
    OtherName.objects.create(kind="account", account=one, person=other)


def by_admin_back(one: User, other: User) -> None:
    by_admin(other, one)


LINKS = (by_external_id, by_mail, by_admin, by_admin_back)
# One account has one external id, and one address for mail: each joins it with one neighbour here.
CHAINS = [
    chain
    for length in (1, 2, 3)
    for chain in product(LINKS, repeat=length)
    if all(one != other or one in (by_admin, by_admin_back) for one, other in pairwise(chain))
]


def chained(chain, prefix: str = "") -> list[User]:
    """Accounts, each joined with the next; a stranger last."""
    accounts = [person(f"account{prefix}{number}") for number in range(len(chain) + 2)]
    for link, one, other in zip(chain, accounts, accounts[1:], strict=False):
        link(one, other)
    return [User.objects.get(pk=account.pk) for account in accounts]


def named(chain) -> str:
    return "-".join(link.__name__ for link in chain)


def test_one_person_is_whoever_a_chain_of_accounts_reaches():
    for number, chain in enumerate(CHAINS):
        *joined, stranger = chained(chain, f"{number}-")
        for one in joined:
            others = persons.find_accounts(one.pk)
            assert others == {account.pk for account in joined}, named(chain)
        assert persons.find_accounts(stranger.pk) == {stranger.pk}
        assert persons.is_same_person(joined[0], joined[-1])
        assert not persons.is_same_person(joined[0], stranger)


def reviewer(account: User) -> Client:
    account.is_staff = True
    account.save()
    account.groups.add(Group.objects.get(name="Lead"))
    return signed_in(account)


def said(response) -> str:
    return " ".join(messages_of(response))


def assert_refused(client: Client, conversation: Conversation) -> None:
    """The account is known in this conversation, and in the queue, which is asked for in SQL."""
    client.post(f"{QUEUE}{conversation.pk}/claim/")
    page = client.get(QUEUE, {"of": "all"})
    assert OWN in said(page)
    assert not Review.objects.exclude(assignee=None).exists()
    assert not page.context["rows"]
    assert not any(rows for *_tab, rows in page.context["tabs"])


def assert_barred(client: Client, account: User, conversation: Conversation) -> None:
    """By no way of the desk does this account review the conversation."""
    at, page = f"{QUEUE}{conversation.pk}/", transcript_of(conversation)
    opened = client.get(page)
    assert opened.context["review"]["own"]
    form = opened.context["review"]["form"].initial | {"disposition": "no_issue"}
    assert OWN in said(client.post(f"{at}claim/", follow=True))
    assert OWN in said(client.post(f"{at}decide/", form, follow=True))
    client_of(f"lead of {account.pk}", "Lead").post(f"{at}assign/", {"to": account.username})
    listed = client.get(QUEUE, {"of": "all"})
    many = {"conversation": [conversation.pk], "reason": "routine"}
    client.post(f"{QUEUE}no-issue/", many | {"shown": listed.context.get("shown", "")})
    client.post(f"{QUEUE}next/", {"of": "free"})
    assert not Decision.objects.exists()
    assert not Review.objects.exclude(assignee=None).exists()
    for tab in ("free", "overdue", "all"):
        assert not client.get(QUEUE, {"of": tab}).context["rows"]
    counted = {tile.name: tile.figure for tile in client.get("/admin/").context["tiles"]}
    assert (counted["Overdue"], counted["Unassigned"]) == ("0", "0")


def transcript_of(conversation: Conversation) -> str:
    return f"/admin/conversations/conversation/{conversation.pk}/change/"


def assert_reviews(client: Client, conversation: Conversation) -> None:
    assert client.get(QUEUE).context["rows"]
    client.post(f"{QUEUE}{conversation.pk}/claim/")
    assert Review.objects.get(conversation=conversation).assignee is not None


@pytest.mark.parametrize(
    "chain",
    [*((link,) for link in LINKS), (by_external_id, by_mail), (by_admin, by_mail, by_admin_back)],
    ids=named,
)
def test_nobody_reviews_themselves_through_another_account(chain):
    *joined, stranger = chained(chain)
    conversation = turn(joined[0], [user("mine")], "yes").conversation
    waiting(conversation)
    assert_refused(reviewer(joined[-1]), conversation)
    assert_reviews(reviewer(stranger), conversation)


def test_by_no_way_is_it_reviewed_through_another_account():
    *joined, _stranger = chained((by_admin, by_mail, by_admin_back))
    conversation = turn(joined[0], [user("mine")], "yes").conversation
    waiting(conversation)
    assert_barred(reviewer(joined[-1]), joined[-1], conversation)


@pytest.mark.parametrize("chain", [(by_admin,), (by_external_id, by_mail)], ids=named)
def test_nobody_agrees_with_themselves_through_another_account(chain, rf):
    *joined, stranger = chained(chain)
    for account in (joined[-1], stranger):
        reviewer(account)
    request = rf.post("/")
    request.user = joined[0]
    wanted = approvals.Wanted("test", "1", "a thing", {"a": 1}, "view_content")
    approval = approvals.ask(request, wanted)
    at = f"/admin/conversations/approval/{approval.pk}/decide/"
    signed_in(joined[-1]).post(at, {"agree": "1"})
    assert Approval.objects.get().agreed is None
    signed_in(stranger).post(at, {"agree": "1"})
    assert Approval.objects.get().agreed


# End users ----------------------------------------------------------------------------------------

ANN = {"email": "Ann.Lee@firm.example", "external_id": "E-1042"}
# How a shared key may name ann, and how it names others.
HERS = (
    "ann",
    "ANN",
    " Ann ",
    "\uff41nn\u00a0",  # full width, and a blank that does not break
    "ann.lee@FIRM.example",
    "E-1042",
    "e-1042",
    "ann-admin",
    "number 7",
)
NOT_HERS = ("an", "anna", "ann.lee", "E-10421", "number 8", "7")


@pytest.fixture
def ann() -> User:
    """With a second account, and a number at the front end."""
    ann = User.objects.create_user("ann", **ANN)
    OtherName.objects.create(kind="account", account=person("ann-admin"), person=ann)
    OtherName.objects.create(
        kind="end_user", account=person("front-end"), name="number 7", person=ann
    )
    return ann


def asked_for(end_user: str) -> Conversation:
    front_end = person("front-end")
    conversation = turn(front_end, [user("late?")], "no", end_user=end_user).conversation
    waiting(conversation)
    return conversation


@pytest.mark.parametrize(
    ("end_user", "account", "is_sealed"),
    [
        *((end_user, "ann", False) for end_user in HERS),
        ("number 7", "ann-admin", True),
        ("E-1042", "ann-admin", False),
        ("ANN", "ann-admin", True),
        ("ann", "ann", True),
    ],
)
def test_nobody_reviews_what_a_shared_key_claims_they_said(ann, account, end_user, is_sealed):
    conversation = asked_for(end_user)
    if is_sealed:
        sealing.seal()
    assert_refused(reviewer(User.objects.get(username=account)), conversation)


@pytest.mark.parametrize(("end_user", "account"), [("number 7", "ann-admin"), ("ANN", "ann")])
def test_by_no_way_is_what_a_shared_key_claims_reviewed(ann, account, end_user):
    conversation = asked_for(end_user)
    asker = User.objects.get(username=account)
    assert_barred(reviewer(asker), asker, conversation)


@pytest.mark.parametrize("end_user", NOT_HERS)
def test_another_name_bars_nobody(ann, end_user):
    assert_reviews(reviewer(ann), asked_for(end_user))


def test_a_name_that_an_admin_gave_is_of_that_shared_key_alone(ann):
    conversation = turn(person("other end"), [user("hi")], "ho", end_user="number 7").conversation
    waiting(conversation)
    assert_reviews(reviewer(ann), conversation)


def test_a_claim_opens_nothing(ann):
    conversation, *_more = map(asked_for, HERS)
    sealing.seal()
    for account in (ann, person("ann-admin")):
        client = signed_in(account)
        assert str(conversation.pk) not in client.get("/history/").content.decode()
        assert client.get(f"/c/{conversation.pk}/").status_code == 404
    User.objects.filter(pk=ann.pk).update(department="Legal")
    lead = client_of("lea", "Lead", reviews_departments=["Legal"])
    listed = lead.get("/admin/conversations/conversation/?since=")
    assert not listed.context["cl"].result_list
    assert lead.get(transcript_of(conversation)).status_code == 302


# The table ----------------------------------------------------------------------------------------


def test_end_users_are_written_down_once_as_they_were_named():
    for end_user in ("ann", "ann", "ANN", " ann", ""):
        turn(person("front-end"), [user(f"by {end_user}")], "yes", end_user=end_user)
    turn(person("other end"), [user("hi")], "yes", end_user="ann")
    sealing.seal()
    rows = OtherName.objects.values_list("account__username", "name", "person")
    assert sorted(rows) == [
        ("front-end", " ann", None),
        ("front-end", "ANN", None),
        ("front-end", "ann", None),
        ("other end", "ann", None),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "account", "name": ""},  # of nobody
        {"kind": "account", "name": "x", "person": True},
        {"kind": "account", "name": "", "person": False},  # of itself
        {"kind": "end_user", "name": ""},
        {"kind": "", "name": "x"},
    ],
)
def test_the_table_takes_no_row_that_says_nothing(alice, bob, fields):
    whose = {True: alice, False: bob}
    row = fields | ({"person": whose[fields["person"]]} if "person" in fields else {})
    with pytest.raises(IntegrityError), transaction.atomic():
        OtherName.objects.create(account=bob, **row)


# By an admin --------------------------------------------------------------------------------------

NAMES = "/admin/conversations/othername/"


@pytest.fixture
def guy(db) -> Client:
    return client_of("guy", "Gateway admin")


def actions() -> list[tuple[str, str, str]]:
    events = AuditEvent.objects.filter(kind="othername").order_by("id")
    return [(event.actor_name, event.action, json.loads(event.detail)["name"]) for event in events]


def test_an_admin_joins_accounts_and_parts_them(guy, alice, bob):
    form = {"kind": "account", "account": "bob", "person": "alice", "name": ""}
    assert guy.post(f"{NAMES}add/", form).status_code == 302
    assert persons.is_same_person(alice, bob)
    row = OtherName.objects.get()
    assert guy.post(f"{NAMES}{row.pk}/change/", form | {"person": "guy"}).status_code == 403
    assert guy.post(f"{NAMES}{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not persons.is_same_person(alice, bob)
    told = "bob, second account of alice"
    assert actions() == [("guy", "added", told), ("guy", "deleted", told)]


@pytest.mark.parametrize(
    ("form", "problem"),
    [
        ({"kind": "account", "account": "bob", "person": "nobody"}, "no user with that name"),
        ({"kind": "account", "account": "nobody", "person": "bob"}, "no user with that name"),
        ({"kind": "account", "account": "bob", "person": ""}, "whose second account"),
        ({"kind": "account", "account": "bob", "person": "bob"}, "the same account"),
        ({"kind": "account", "account": "bob", "person": "alice"}, "joined already"),
        ({"kind": "account", "account": "bob", "person": "guy", "name": "x"}, "no name of its own"),
        ({"kind": "end_user", "account": "bob", "name": ""}, "Enter the name"),
        ({"kind": "end_user", "account": "bob", "name": "42"}, "listed already"),
        ({"kind": "", "account": "bob", "name": "42"}, "required"),
    ],
)
def test_a_wrong_form_says_what_is_wrong(guy, alice, bob, form, problem):
    OtherName.objects.create(kind="account", account=bob, person=alice)
    OtherName.objects.create(kind="end_user", account=bob, name="42")
    response = guy.post(f"{NAMES}add/", {"name": "", "person": ""} | form)
    assert response.status_code == 200
    errors = response.context["adminform"].form.errors.values()
    assert problem in " ".join(str(each) for each in errors)
    assert OtherName.objects.count() == 2


def test_an_admin_says_whose_an_end_user_is(guy, alice, bob):
    turn(bob, [user("hi")], "yes", end_user="42")
    sealing.seal()
    row = OtherName.objects.get()
    assert guy.post(f"{NAMES}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert guy.post(f"{NAMES}{row.pk}/change/", {"person": "alice"}).status_code == 302
    assert persons.find_fits({(bob.pk, "42")}) == {(bob.pk, "42"): (alice.pk, "alice")}
    assert actions() == [("guy", "changed", "42, end user of a shared key of bob: alice")]
    assert guy.post(f"{NAMES}{row.pk}/change/", {"person": ""}).status_code == 302
    assert persons.find_fits({(bob.pk, "42")}) == {}


def test_nobody_undoes_what_is_known_of_themselves(alice, bob):
    client = client_of("gil", "Gateway admin", "Reviewer")
    gil = User.objects.get(username="gil")
    OtherName.objects.create(kind="account", account=bob, person=gil)
    rows = [
        OtherName.objects.create(kind="account", account=alice, person=bob),
        OtherName.objects.create(
            kind="end_user", account=person("front end"), name="7", person=bob
        ),
    ]
    for row in rows:
        assert client.get(f"{NAMES}{row.pk}/change/").status_code == 200
        assert client.post(f"{NAMES}{row.pk}/change/", {"person": "alice"}).status_code == 403
        assert client.post(f"{NAMES}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert OtherName.objects.filter(person=bob).count() == 2
    for account in (bob, alice):
        path = f"/admin/conversations/user/{account.pk}/delete/"
        client_of(f"root {account}", is_superuser=True).post(path, {"post": "yes"})
        assert User.objects.filter(pk=account.pk).exists()


def test_a_list_shows_whose_name_it_is(guy, ann):
    for end_user in ("ann", "ben"):
        asked_for(end_user)
    sealing.seal()
    listed = guy.get(NAMES).context["cl"].result_list
    shown = {row.name: row.fit and row.fit.username for row in listed}
    assert shown == {"ann": "ann", "ben": None, "number 7": "ann", "": "ann"}


@pytest.mark.parametrize(
    ("name", "username"),
    [
        ("ann", "ann"),  # exactly so, before other spellings
        ("ANN", "ANN"),
        ("Ann", "ann"),  # of two that fit, the first
        ("bea", "bea"),  # a user name before another's e-mail or external id
        ("bea@firm.example", "carl"),
        ("E-7", "carl"),
        ("program", None),  # no person
        (" ", None),
    ],
)
def test_the_account_of_an_end_user(name, username):
    for account, fields in {
        "ann": {},
        "ANN": {},
        "bea": {},
        "carl": {"email": "Bea@firm.example", "external_id": "E-7"},
        "dan": {"external_id": "bea"},
        "program": {"is_service": True},
    }.items():
        User.objects.create_user(account, **fields)
    front_end = person("front end").pk
    found = {claim: user.username for claim, user in persons.find_fits({(front_end, name)}).items()}
    assert found == ({(front_end, name): username} if username else {})
