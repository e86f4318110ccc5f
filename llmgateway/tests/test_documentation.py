"""What README.md and .env.example say of settings and commands, held against the code."""

import re

import pytest

from llmgateway.tests.plugin import ROOT, SETTINGS

README = (ROOT / "README.md").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_explained(name):
    assert f"`{name}`" in README
    assert re.search(rf"^#? ?{name}=", EXAMPLE, re.MULTILINE)


def test_the_settings_were_found():
    assert {
        "DEMO",
        "VAR_DIR",
        "DATABASE_URL",
        "SECRET_KEY",
        "LLM_ENDPOINT",
        "LLM_CA_BUNDLE",
        "LOG_LEVEL",
    } <= set(SETTINGS)


def test_no_setting_is_made_up():
    example = set(re.findall(r"^#? ?([A-Z][A-Z_]+)=", EXAMPLE, re.MULTILINE))
    # docker-compose.yml's own
    assert example - set(SETTINGS) == {
        "COMPOSE_PROFILES",
        "POSTGRES_PASSWORD",
    }
    table = set(re.findall(r"^\| `([A-Z][A-Z_]+)`", README, re.MULTILINE))
    assert table == set(SETTINGS)


def test_every_make_target_is_explained():
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[
        1
    ].split()
    assert [
        target
        for target in targets
        if f"`make {target}`" not in README and f"make {target}\n" not in README
    ] == []


@pytest.mark.parametrize(
    "command", sorted(ROOT.glob("*/management/commands/[a-z]*.py")), ids=lambda path: path.stem
)
def test_every_command_is_explained(command):
    assert any(
        f"manage.py {command.stem}" in text
        for text in (README, *(page.read_text() for page in (ROOT / "docs").glob("*.md")))
    )


def test_every_linked_file_exists():
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize(
    "page",
    [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))],
    ids=lambda page: page.name,
)
def test_every_file_that_is_named_exists(page):
    folders = "conversations|proxy|llmgateway|benchmarks|docs|fixtures|templates|static"
    names = re.findall(rf"`((?:{folders})/[\w./-]*\w)", page.read_text())
    assert [name for name in names if not (ROOT / name).exists()] == []
