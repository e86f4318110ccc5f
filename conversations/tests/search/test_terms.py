"""Terms of texts: each run of letters and digits that a page shows is found by itself."""

from itertools import pairwise

import pytest
from hypothesis import example, given

from conversations.search import terms
from conversations.search.query import parse
from conversations.tests.search.texts import TEXTS, list_runs


@given(TEXTS)
@example("p\u0430yroll_2024/Zephyr.xlsx ann@corp.example")
@example("iPhone手机壳 第12章 번역을")
@example("pay\u200broll नमस्ते שָׁלוֹם")
@example("M\\u00fcller pay\\nroll")
@example("x" * 200)
def test_every_run_of_a_text_is_found_by_itself(text):
    missed = {run for run in list_runs(text) if not parse(run).find(text)}
    assert missed == set()


@given(TEXTS)
def test_texts_are_indexed_as_they_are_searched(text):
    placed = terms.place_forms(text)
    assert sorted(placed) == sorted((term.position, term.forms) for term in terms.list_terms(text))
    forms = [form for _, each in placed for form in each]
    assert all(form and not {*form} & {"'", "\\", "\0"} for form in forms)  # none needs quotes


@given(TEXTS)
def test_a_mark_covers_characters_of_the_text(text):
    for term in terms.list_terms(text):
        assert 0 <= term.start < term.end <= len(text)
    for run in list_runs(text):
        spans = parse(run).find(text)
        assert spans == sorted(spans)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))


FOUND = [
    ("send it to ann@zephyrone.example today", "zephyrone.example", "zephyrone.example"),
    ("send it to zephyrtwo@corp.example today", "zephyrtwo", "zephyrtwo"),
    ("see https://x.example/zephyrthree/plan", "zephyrthree", "zephyrthree"),
    ("open /srv/data/payroll_2024/zephyrfive.xlsx", "zephyrfive.xlsx", "zephyrfive.xlsx"),
    ("open C:\\data\\zephyrsix.xlsx", "data\\zephyrsix", "data\\zephyrsix"),
    ("class in ZephyrSeven.java", "zephyr", "ZephyrSeven"),
    ("XMLHttpRequest", "http", "XMLHttpRequest"),
    ("card 4111-1111-1111-1111", "4111111111111111", "4111-1111-1111-1111"),
    ("card 4111111111111111", "4111-1111-1111-1111", "4111111111111111"),
    ("card 4111111111111111", "4111 1111 1111 1111", "4111111111111111"),
    ("1 2 3 4 5 6 7 4111 1111 1111 1111 8", "4111111111111111", "4111 1111 1111 1111"),
    ("call +49 (30) 1234567", "49301234567", "49 (30) 1234567"),
    ("DE89 3704 0044 0532 0130 00", "DE89370400440532013000", "DE89 3704 0044 0532 0130 00"),
    ("it costs 1.234.567 EUR", "1234567", "1.234.567"),
    ("٤١١١", "4111", "٤١١١"),
    ("日本語のテストを行います", "テスト", "テスト"),
    ("这是一个测试，项目代号已批准", "项目", "项目"),
    ("번역을 부탁해", "번역", "번역"),
    ("การทดสอบระบบ", "ทดสอบ", "ทดสอบ"),
    ("第一章", "章", "章"),
    ("Réunion au café", "reunion", "Réunion"),
    ("Reunion au cafe", "réunion", "Reunion"),
    ("die Straße", "strasse", "Straße"),
    ("Søren Łukasz", "lukasz soren", "Søren|Łukasz"),
    ("the slow secret of it", "“slow secret”", "slow secret"),
    ("it’s o'brien", "it's O’Brien", "it’s|o'brien"),
    ("p\u0430yroll", "payroll", "p\u0430yroll"),
    ("секр\u0065т", "секрет", "секр\u0065т"),
    ("payroll", "p\u0430yroll", "payroll"),
    ("раураӏ", "paypal", "раураӏ"),
    ("pay\u200broll\u00ad", "payroll", "pay\u200broll"),
    ("𝐩𝐚𝐲𝐫𝐨𝐥𝐥 ｐａｙｒｏｌｌ", "payroll", "𝐩𝐚𝐲𝐫𝐨𝐥𝐥|ｐａｙｒｏｌｌ"),
    ('{"name": "M\\u00fcller", "note": "pay\\nroll"}', "müller roll", "M\\u00fcller|pay\\nroll"),
    ("alpha beta", "alpha -gamma", "alpha"),
    ("alpha beta", "gamma or beta", "beta"),
]
MISSED = [
    ("Reunion au cafe", "“réunion”"),  # in quotation marks accents count
    ("secret and slow", "“slow secret”"),
    ("payroll", "pay"),  # words, not their beginnings
    ("alpha beta", "😀 -"),
]


@pytest.mark.parametrize(("text", "query", "marked"), FOUND)
def test_found_and_marked(text, query, marked):
    assert "|".join(text[start:end] for start, end in parse(query).find(text)) == marked


@pytest.mark.parametrize(("text", "query"), MISSED)
def test_not_found(text, query):
    assert parse(query).find(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p\u0430yroll", True),
        ("the word секр\u0065т", True),
        ("Ελληνικά and Русский, side by side", False),
        ("5 μm, Δx, λmax", False),
        ("plain", False),
        ("日本語 iPhone手机", False),
    ],
)
def test_words_of_mixed_scripts(text, expected):
    assert terms.is_mixed(text) is expected
