"""What README.md and .env.example say of settings and commands, held against the code."""

import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from llmgateway.configuration import listing, schema
from llmgateway.tests.plugin import ROOT, SECRET_FILES, SETTINGS

README = (ROOT / "README.md").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
# What the tree of docs/architecture.md need not name: files that Django looks for, and tests.
UNTOLD = {"__init__", "admin", "apps", "urls", "urls_keys", "wsgi", "tests/", "__pycache__/"}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_explained(name):
    assert f"`{name}`" in README
    if name not in schema.ENVIRONMENT_ONLY:
        assert re.search(rf"^#? ?{name}=", EXAMPLE, re.MULTILINE)


def test_the_table_and_the_example_are_the_schemas():
    """`manage.py settings --write` makes both."""
    assert listing.make_readme(README) == README
    assert listing.make_example() == EXAMPLE


def test_they_are_written_as_they_stand(tmp_path):
    stale = README.replace("| `PORT` | `8000` |", "| `PROT` | `8001` |")
    (tmp_path / "README.md").write_text(stale)
    listing.write_documents(tmp_path / "README.md", tmp_path / ".env.example")
    assert (tmp_path / "README.md").read_text() == README
    assert (tmp_path / ".env.example").read_text() == EXAMPLE
    with pytest.raises(ValueError, match="lost the marks"):
        listing.make_readme("# No table\n")


@pytest.mark.parametrize("part", ["as it stands", "all of it"])
def test_the_example_makes_a_gateway_that_works(tmp_path, part):
    """Copied to .env it is in order, and so is each line whose # is taken away."""
    env = EXAMPLE if part == "as it stands" else re.sub(r"(?m)^# (?=[A-Z_]+=)", "", EXAMPLE)
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    (tmp_path / ".env").write_text(env.replace("/etc/ssl/certs/ca-certificates.crt", str(bundle)))
    ours = {*SETTINGS, *SECRET_FILES}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env=environment | {"ENV_FILE": str(tmp_path / ".env"), "VAR_DIR": str(tmp_path / "var")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "E0" not in done.stderr


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
    assert {*SETTINGS} - example == {*schema.ENVIRONMENT_ONLY}
    assert example - set(SETTINGS) == {
        "COMPOSE_PROFILES",
        "DATABASE_MEMORY",
        "GATEWAY_MEMORY",
        "POSTGRES_PASSWORD",
    }
    table = set(re.findall(r"^\| `([A-Z][A-Z_]+)`", README, re.MULTILINE))
    assert table == set(SETTINGS)


def test_what_compose_reads_may_stand_in_the_same_file():
    names = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert "POSTGRES_PASSWORD" in names
    assert names <= set(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", EXAMPLE, re.MULTILINE))
    assert [name for name in names if not name.startswith(schema.COMPOSE)] == []


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


PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_exists(page):
    folders = "conversations|proxy|llmgateway|benchmarks|docs|fixtures|templates|static"
    names = re.findall(rf"`((?:{folders})/[\w./-]*\w)", page.read_text())
    assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_page_says_a_thing_twice(page):
    """Two versions of a line stay where branches that changed it were put together."""
    prose = re.sub(r"(?ms)^ *```.*?^ *```$|^    .*?$", "", page.read_text())
    begun = Counter(line[:60] for line in prose.splitlines() if len(line) >= 60)
    assert [line for line, count in begun.items() if count > 1] == []


def read_tree() -> dict[str, list[str]]:
    """Read what docs/architecture.md has in each folder: folders with a slash, and modules."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    tree = page.partition("## Where everything is")[2].split("```")[1]
    held, package, folder = {}, "", ""
    for line in tree.splitlines():
        if match := re.match(r"(\w+)/", line):
            package, folder = match[1], ""
            held[package] = []
        elif match := re.match(r"  flat +(.*)|( {24,}\w.*)", line):
            names = (match[1] or match[2]).split()
            held[package] += names if match[1] or folder == "flat" else []
            folder = "flat" if match[1] else folder
        elif match := re.match(r"  ((?:\w+/ ?)+)", line):
            held[package] += match[1].split()
            folder = f"{package}/{match[1].split('/')[0]}"
        elif match := re.match(r"    (\w+(?:  ?\w+)*)  +\w", line):
            held.setdefault(folder, []).extend(match[1].split())
    return held


@pytest.mark.parametrize("folder", ["conversations", "conversations/record", "proxy", "llmgateway"])
def test_the_tree_has_each_folder_and_each_file_once(folder):
    inside = [*(ROOT / folder).iterdir()]
    there = {f"{path.name}/" for path in inside if path.is_dir()}
    there |= {path.stem for path in inside if path.suffix == ".py"}
    told = [name for name in read_tree()[folder] if name not in UNTOLD]
    assert sorted(told) == sorted(there - UNTOLD)
