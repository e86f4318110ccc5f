"""Cells of a CSV: inert in a spreadsheet, and nothing is lost."""

import csv
import io
import re
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conversations import record
from conversations.exports.table import FORMULA, cell, csv_line
from conversations.models import Conversation, User
from conversations.record import CallRequest, Outcome
from conversations.tests.calls import ask, person, user
from conversations.tests.cells import CALLS, FORMULAS, parsed


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_gets_an_apostrophe_and_loses_nothing(formula):
    [[read]] = csv.reader(io.StringIO(cell(formula), newline=""), strict=True)
    assert read == "'" + formula


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        " =1+1",
        "1-2",
        "a=b",
        "'=1",
        '"quoted"',
        "two\r\nlines",
        "comma, semicolon; tab\t",
        "日本語",
    ],
)
def test_other_text_stays_as_it_is(text):
    assert next(csv.reader(io.StringIO(cell(text), newline=""), strict=True)) == [text]


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
        min_size=1,
        max_size=5,
    )
)
def test_any_cells_come_back_and_none_is_a_formula(texts):
    [read] = csv.reader(io.StringIO(csv_line(tuple(texts)).decode(), newline=""), strict=True)
    assert [
        found.removeprefix("'") if text.startswith(FORMULA) else found
        for found, text in zip(read, texts, strict=True)
    ] == texts
    assert not any(found.startswith(FORMULA) for found in read)


@pytest.mark.parametrize("formula", ["=1+1", "@SUM(1)", "\uff1d1", "+1", "-1"])
def test_formulas_in_every_column_that_a_person_writes(desk, alice, formula):
    User.objects.filter(pk=alice.pk).update(job_title=formula)
    bob = person(f"@{uuid4().hex[:6]}")
    call = ask(alice, [user(formula)], title=formula)
    record.close(call, Outcome(status="ok"))
    record.refuse(
        CallRequest(owner=bob.pk, kind="chat", model=formula, body={"model": formula}, sent=b"{}"),
        "code",
        "error",
    )
    Conversation.objects.update(title=formula)
    data = desk.get(CALLS).getvalue()
    rows = parsed(data)
    assert rows[1]["title"] == rows[1]["convo_title"] == f"'{formula}"
    assert rows[0]["model"] == f"'{formula}"
    assert rows[0]["user_name"] == f"'{bob.username}"
    assert not re.search(rb'(^|,)"[=+\-@\t\r\n]', data[3:])
