"""People made, switched off and put into groups from a directory's file, as it was shown."""

import html
import json
import re

import pytest
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client

from conversations.imports import people
from conversations.models import AuditEvent, User

pytestmark = pytest.mark.django_db
PAGE = "/admin/conversations/user/import/"


@pytest.fixture
def accounts() -> None:
    alice = User.objects.create_user("alice", email="alice@example.com", external_id="7")
    alice.groups.add(Group.objects.get(name="Reviewer"))
    User.objects.create_user("bob", email="bob@example.com", department="Legal")
    User.objects.create_user("robot", is_service=True)


@pytest.fixture
def root() -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root", external_id="0"))
    return client


def show(client: Client, data: bytes | str, *options: str):
    data = data if isinstance(data, bytes) else data.encode()
    fields = {"file": SimpleUploadedFile("people.csv", data)} | dict.fromkeys(options, "1")
    return client.post(PAGE, fields)


def apply(client: Client, shown) -> str:
    """Press the button of the page that showed the changes."""
    page = shown.content.decode()
    [form] = re.findall(r'<form method="post">(.*?)</form>', page, re.DOTALL)
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    answer = client.post(PAGE, {name: html.unescape(value) for name, value in fields.items()})
    assert answer.status_code == 200
    return answer.content.decode()


# The columns of directories -------------------------------------------------------------------

FILES = {
    "Entra ID": "userPrincipalName,displayName,surname,mail,givenName,id,userType,jobTitle,"
    "department,accountEnabled,state\n"
    "carol@example.com,Carol Q,Quick,carol@example.com,Carol,9,Member,Counsel,Legal,True,WA\n",
    "Active Directory": '#TYPE Microsoft.ActiveDirectory.Management.ADUser\r\n"SamAccountName",'
    '"UserPrincipalName","GivenName","Surname","Enabled","Title","Department","EmailAddress",'
    '"EmployeeID"\r\n"carol@example.com","x","Carol","Quick","True","Counsel","Legal",'
    '"carol@example.com","9"\r\n',
    "csvde": "DN,sAMAccountName,givenName,sn,mail,title,department,employeeID,userAccountControl\n"
    '"CN=Carol,DC=x",carol@example.com,Carol,Quick,carol@example.com,Counsel,Legal,9,512\n',
    "LDAP": "dn,uid,cn,sn,givenName,mail,title,ou,employeeNumber\n"
    '"uid=carol,dc=x",carol@example.com,Carol,Quick,Carol,carol@example.com,Counsel,Legal,9\n',
    "Okta": '"id","status","login","email","firstName","lastName","title","department"\n'
    '"9","PASSWORD_EXPIRED","carol@example.com","carol@example.com","Carol","Quick","Counsel",'
    '"Legal"\n',
    "Google Workspace": "First Name [Required],Last Name [Required],Email Address [Required],"
    "Password [Required],Org Unit Path [Required],Status [READ ONLY],Employee ID,Employee Title,"
    "Department\nCarol,Quick,carol@example.com,****,/,Active,9,Counsel,Legal\n",
    "a spreadsheet": "sep=;\r\nUser Name;First Name;Surname;E-Mail;External-Id;Job Title;"
    "Department\r\ncarol@example.com;Carol;Quick;carol@example.com;9;Counsel;Legal\r\n",
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_columns_of_directories_are_known(root, name, encoding):
    shown = show(root, FILES[name].encode(encoding), "create")
    assert "1 new" in shown.content.decode()
    assert not User.objects.filter(external_id="9").exists()
    assert "1 new" in apply(root, shown)
    carol = User.objects.get(external_id="9")
    assert (carol.username, carol.email) == ("carol@example.com", "carol@example.com")
    assert (carol.first_name, carol.last_name) == ("Carol", "Quick")
    assert (carol.job_title, carol.department, carol.is_active) == ("Counsel", "Legal", True)
    assert not carol.has_usable_password()
    assert [line.status for line in people.read(FILES[name].encode(encoding))] == ["unchanged"]


@pytest.mark.parametrize(
    ("cell", "is_active"),
    [
        ("active", True),
        ("TRUE", True),
        ("Yes", True),
        ("1", True),
        ("LOCKED_OUT", True),
        ("Suspended", False),
        ("False", False),
        ("no", False),
        ("0", False),
        ("DEPROVISIONED", False),
        ("Archived", False),
        ("perhaps", None),
        ("wahr", None),
        ("-1", None),
    ],
)
def test_who_is_active_is_understood_or_refused(accounts, cell, is_active):
    [line] = people.read(f"username,status\nbob,{cell}\n".encode())
    if is_active is None:
        assert (line.status, line.new) == (people.Status.WRONG, {})
        assert "neither active nor inactive" in line.problem
    else:
        assert line.status == (people.Status.SAME if is_active else people.Status.CHANGED)


@pytest.mark.parametrize(
    ("control", "status"), [("512", "unchanged"), ("514", "changed"), ("x", "not valid")]
)
def test_active_directory_s_flags(accounts, control, status):
    [line] = people.read(f"sAMAccountName,userAccountControl\nbob,{control}\n".encode())
    assert line.status == status


# One person, one line -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "lines",
    [
        "alice,,,Director\nalice,,,Analyst\n",
        "alice,,,Director\nalice,,,Director\n",
        "alice,,,Director\nALICE,,,Analyst\n",
        "alice,,,Director\n,7,,Analyst\n",
        ",7,,Director\n,,Alice@example.com,Analyst\n",
        "new,,,Director\nbob,,,X\nNew,,,Analyst\n",
        "new,99,,Director\nother,99,,Analyst\n",
        "new,,n@example.com,Director\nother,,N@example.com,Analyst\n",
    ],
)
@pytest.mark.parametrize("options", [(), ("create",), ("create", "deactivate")])
def test_a_person_in_two_lines_is_refused(accounts, root, lines, options):
    before = list(User.objects.order_by("pk").values())
    data = f"username,external_id,email,title\n{lines}"
    for more in ((), ("write",)):
        answer = show(root, data, *options, *more)
        assert answer.status_code == 400
        assert "A person is in several lines" in answer.content.decode()
    assert list(User.objects.order_by("pk").values()) == before


@pytest.mark.parametrize(
    ("head", "says"),
    [
        ("username,title,Username", "names a column twice: username"),
        ("sep=#\nusername,title", "separator that is not known"),
        ("sep=\nusername,title", "separator that is not known"),
    ],
)
def test_a_first_line_that_is_ambiguous_is_refused(accounts, root, head, says):
    answer = show(root, f"{head}\nalice,Director,x\n", "write")
    assert answer.status_code == 400
    assert says in answer.content.decode()


def test_keys_that_find_two_people_are_ambiguous(accounts):
    data = b"external_id,username,title\n7,bob,X\n8,alice,X\n"
    ambiguous, other = people.read(data)
    assert ambiguous.status == people.Status.AMBIGUOUS
    assert (other.status, other.problem) == ("not valid", "Its account has another external id.")


# Made, switched off, in groups ----------------------------------------------------------------


def test_what_was_shown_is_applied_without_the_file(accounts, root):
    shown = show(
        root,
        "username,email,title,active,groups,external_id\n"
        "alice,,Director,,Lead; Auditor,\n"
        "bob,,,no,,8\n"
        "dora,dora@example.com,Baker,,Reviewer,\n"
        "emil,,,no,,\n"
        "bad name!,,,,,\n"
        "frank,,,,Reviewers,\n",
        "create",
    )
    page = shown.content.decode()
    assert "Nothing was changed yet" in page
    assert "2 changed, 2 new, 2 not valid" in page
    assert "There is no group “Reviewers”." in page
    assert User.objects.count() == 4
    assert not AuditEvent.objects.filter(action__in=("changed", "added")).exists()
    assert "2 changed, 2 new, 2 not valid" in apply(root, shown)
    users = {user.username: user for user in User.objects.all()}
    assert users.keys() == {"root", "robot", "alice", "bob", "dora", "emil"}
    groups = {
        name: sorted(user.groups.values_list("name", flat=True)) for name, user in users.items()
    }
    assert (groups["alice"], groups["dora"], groups["emil"]) == (
        ["Auditor", "Lead"],
        ["Reviewer"],
        [],
    )
    assert [users[name].is_staff for name in ("alice", "dora", "emil")] == [True, True, False]
    assert [users[name].is_active for name in ("alice", "bob", "dora", "emil")] == [
        True,
        False,
        True,
        False,
    ]
    assert (users["bob"].external_id, users["alice"].job_title) == ("8", "Director")
    events = AuditEvent.objects.filter(kind="user", action__in=("changed", "added"))
    told = {(each.action, json.loads(each.detail)["name"]) for each in events}
    assert told == {("changed", "alice"), ("changed", "bob"), ("added", "dora"), ("added", "emil")}
    [change] = [each for each in events if each.subject == str(users["alice"].pk)]
    assert json.loads(change.detail)["what"] == [
        {"rights": {"groups": {"was": ["Reviewer"], "is": ["Auditor", "Lead"]}}}
    ]


def test_accounts_that_changed_meanwhile_are_shown_anew(accounts, root):
    shown = show(root, "username,title\nalice,Director\n")
    User.objects.filter(username="alice").update(job_title="Baker")
    page = apply(root, shown)
    assert "Accounts have changed since this was shown" in page
    assert "job title: Baker" in page
    assert User.objects.get(username="alice").job_title == "Baker"


def test_people_who_are_gone_are_switched_off_only_when_it_was_chosen(accounts, root):
    data = "username,title\nalice,Director\nambiguous,X\n"
    User.objects.create_user("Ambiguous")
    User.objects.create_user("AMBIGUOUS")
    assert ">not in the file<" not in show(root, data).content.decode()
    shown = show(root, data, "deactivate")
    assert ">not in the file<" in shown.content.decode()
    assert User.objects.get(username="bob").is_active
    apply(root, shown)
    gone = User.objects.filter(is_active=False).values_list("username", flat=True)
    assert list(gone) == ["bob"]  # no service account, not root, and none that a line may mean
    show(root, "username,title\n", "deactivate", "write")
    assert User.objects.filter(is_active=False).count() == 1


def test_nobody_changes_their_own_rights_by_a_file(accounts, root):
    shown = show(root, "external_id,active,groups\n0,no,\n", "write").content.decode()
    assert "It is your own account" in shown
    assert (
        "It is your own account"
        in show(root, "external_id,active,groups\n0,,Reviewer\n", "write").content.decode()
    )
    me = User.objects.get(username="root")
    assert me.is_active
    assert not me.groups.exists()


def test_all_groups_are_taken_by_a_word_and_kept_by_an_empty_cell(accounts):
    people.write(b"username,groups\nalice,\n", "a command")
    assert User.objects.get(username="alice").groups.count() == 1
    people.write(b"username,groups\nalice,none\n", "a command")
    assert User.objects.get(username="alice").groups.count() == 0


def test_a_file_that_comes_back_broken_changes_nothing(accounts, root):
    for kept in ("x", "AAAA", "!"):
        answer = root.post(PAGE, {"kept": kept, "write": "1"})
        assert answer.status_code == 400
        assert "did not come back whole" in answer.content.decode()


def test_the_command_creates_and_deactivates_when_told(accounts, tmp_path, capsys):
    file = tmp_path / "people.csv"
    file.write_text("username,email\nalice,\ncarol,carol@example.com\n")
    call_command("import_people", file, dry_run=True, create=True, deactivate=True)
    assert User.objects.count() == 3
    call_command("import_people", file, create=True, deactivate=True)
    said = capsys.readouterr().out.splitlines()
    assert "not in the file: 'bob' changed active 'yes' → 'no'" in said
    assert User.objects.filter(username="carol", is_active=True).exists()
    assert not User.objects.get(username="bob").is_active
