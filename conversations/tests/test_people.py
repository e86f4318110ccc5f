"""Job titles and departments of people who have accounts, from a file."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.test import Client

from conversations.imports import people
from conversations.models import AuditEvent, User

pytestmark = pytest.mark.django_db
PAGE = "/admin/conversations/user/import/"


@pytest.fixture(autouse=True)
def accounts() -> None:
    User.objects.create_user(
        "alice",
        email="alice@example.com",
        external_id="7",
        department="Finance",
        job_title="Analyst",
    )
    User.objects.create_user("bob", email="Bob@example.com", department="Legal")
    User.objects.create_user("bob2", email="bob@example.com")
    User.objects.create_superuser("root")


def upload(data: bytes, name: str = "root", **fields):
    client = Client()
    client.force_login(User.objects.get(username=name))
    return client.post(PAGE, {"file": SimpleUploadedFile("people.csv", data)} | fields)


def found(data: bytes) -> list[tuple[str, str]]:
    return [(line.value, line.status) for line in people.read(data)]


@pytest.mark.parametrize(
    "data",
    [
        b"username,job_title,department\nalice,Controller,Finance\n",
        "\ufeffUser Name;Title;Dept\r\nalice;Controller;Finance\r\n".encode(),
        b"Department\tE-mail\tJob-Title\nFinance\tALICE@example.com\tController",
        b"external_id,username,job title\n7,somebody else,Controller\n",
    ],
)
def test_files_as_directories_and_spreadsheets_write_them(data):
    shown = upload(data)
    assert shown.status_code == 200
    assert "Nothing was changed yet" in shown.content.decode()
    assert User.objects.get(username="alice").job_title == "Analyst"
    assert not AuditEvent.objects.filter(action="changed").exists()
    assert upload(data, write="1").status_code == 200
    alice = User.objects.get(username="alice")
    assert (alice.job_title, alice.department) == ("Controller", "Finance")
    [event] = AuditEvent.objects.filter(action="changed")
    assert str(alice.pk) in event.detail


def test_each_line_comes_to_something():
    long = "x" * 151
    data = (
        "username,email,job_title\nalice,,Analyst\nnobody,,X\n,bob@EXAMPLE.com,X\n,,X\n"
        f"carol,,{long}\nbob,,\nbob2,,=cmd()\n"
    ).encode()
    assert found(data) == [
        ("alice", people.Status.SAME),
        ("nobody", people.Status.UNKNOWN),
        ("bob@EXAMPLE.com", people.Status.AMBIGUOUS),
        ("", people.Status.WRONG),
        ("carol", people.Status.WRONG),
        ("bob", people.Status.SAME),
        ("bob2", people.Status.CHANGED),
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no column that identifies people"),
        (b"name,job_title\nalice,X\n", "no column that identifies people"),
        (b"username,salary\nalice,X\n", "neither a job title nor a department"),
        ("username,job_title\nalice,Gesch\u00e4ftsf\u00fchrer\n".encode("cp1252"), "not UTF-8"),
        (b"username,job_title\nalice,\0\n", "not text"),
        (b'username,job_title\nalice,"X"Y\n', "Line 2"),
        (b"username,job_title\n" + b"alice,X\n" * 700_000, "larger than 5 MB"),
    ],
)
def test_a_file_that_cannot_be_read_changes_nothing(data, says):
    answer = upload(data, write="1")
    assert answer.status_code == 400 or (not data and answer.status_code == 200)
    if data:
        assert says in answer.content.decode()
    with pytest.raises(people.UnreadableDirectory, match=says):
        people.read(data)
    assert User.objects.get(username="alice").job_title == "Analyst"


def test_hostile_names_are_shown_and_inert():
    page = upload(
        b"username,job_title\n<script>alert(1)</script>,X\nalice,<img src=x>\n"
    ).content.decode()
    assert "&lt;script&gt;alert(1)" in page
    assert "<img src=x>" not in page


def test_only_who_may_change_accounts(tmp_path):
    User.objects.create_user("rita", is_staff=True)
    assert upload(b"username,job_title\nalice,X\n", "rita", write="1").status_code == 403
    assert User.objects.get(username="alice").job_title == "Analyst"


def test_the_command(tmp_path, capsys):
    file = tmp_path / "people.csv"
    file.write_bytes(b"username,job_title\nalice,Controller\nnobody,X\n")
    call_command("import_people", file, dry_run=True)
    assert User.objects.get(username="alice").job_title == "Analyst"
    call_command("import_people", file)
    assert User.objects.get(username="alice").job_title == "Controller"
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "line 2: 'alice' changed job title 'Analyst' → 'Controller'"
    assert said[2] == "Nothing was changed yet. 1 changed, 1 without an account."
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_people", tmp_path / "none.csv")
