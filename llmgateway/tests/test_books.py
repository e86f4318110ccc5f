"""The books that the drill compares: each contradiction is found, and agreement is none."""

import pytest

from benchmarks.books import Books, Note, Row, answer

MARK = "drill-1"
TEXT = answer(MARK)


def agreeing() -> Books:
    note = Note(MARK, status=200, text=TEXT, is_whole=True)
    return Books({MARK: 1}, [note], {MARK: [Row("ok", TEXT)]}, {MARK: 1}, {MARK: 1})


def change(books: Books, **changes) -> None:
    for name, value in changes.items():
        setattr(books.notes[0] if hasattr(books.notes[0], name) else books, name, value)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"text": TEXT[:20], "is_whole": False},
        {"text": "", "is_whole": False, "error": "record_not_writable"},
        {"text": TEXT[:20], "is_whole": False, "rows": {MARK: [Row("interrupted", TEXT[:20])]}},
        {"text": "", "is_whole": False, "status": 303},
        {"titles": {MARK: 2}, "title_rows": {MARK: 2}},
        {"titles": {}},
        {"text": "", "is_whole": False, "error": "overloaded", "ledger": {}, "rows": {}},
        {
            "text": "",
            "is_whole": False,
            "is_unsent": True,
            "ledger": {},
            "rows": {MARK: [Row("failed", "")]},
        },
    ],
)
def test_books_that_agree(changes):
    books = agreeing()
    change(books, **changes)
    assert [*books.compare()] == []


@pytest.mark.parametrize(
    ("found", "changes"),
    [
        ("lost", {"rows": {}}),
        ("lost", {"text": "", "is_whole": False, "status": 303, "ledger": {}, "rows": {}}),
        ("lost", {"titles": {MARK: 2}}),
        ("lost", {"title_rows": {}}),
        ("lost text", {"is_whole": False, "rows": {MARK: [Row("interrupted", TEXT[:-1])]}}),
        ("doubled", {"ledger": {MARK: 2}}),
        ("doubled", {"rows": {MARK: [Row("ok", TEXT)] * 2}}),
        ("pending", {"is_whole": False, "rows": {MARK: [Row("pending", "")]}}),
        ("wrong status", {"rows": {MARK: [Row("failed", TEXT)]}}),
        ("wrong status", {"is_whole": False, "error": "gateway_stopped"}),
        ("called unsent", {"is_whole": False, "error": "x", "is_unsent": True}),
        ("wrong text on record", {"rows": {MARK: [Row("ok", TEXT[1:])]}}),
        ("cut text on record", {"rows": {MARK: [Row("ok", TEXT[:-1])]}}),
        ("wrong text read", {"text": TEXT[1:]}),
        ("cut text read as whole", {"text": TEXT[:-1]}),
    ],
)
def test_each_contradiction_is_found(found, changes):
    books = agreeing()
    change(books, **changes)
    assert found in {line.partition(":")[0] for line in books.compare()}
