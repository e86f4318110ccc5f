"""proxy imports conversations, never the other way round; neither imports llmgateway, which puts them together (its tests aside)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HTTP_CLIENTS = {"requests", "urllib3", "urllib.request", "http.client", "httpx", "httpx2", "aiohttp", "openai"}
FORBIDDEN = {"conversations": {"proxy", "llmgateway"} | HTTP_CLIENTS, "proxy": {"llmgateway"}}


def imported(source: str, package: str) -> Iterator[str]:
    """Every module that this source imports, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def breaches(source: str, package: str) -> list[str]:
    forbidden = FORBIDDEN[package.split(".")[0]]
    return sorted({name for name in imported(source, package) if any(name == one or name.startswith(one + ".") for one in forbidden)})


@pytest.mark.parametrize("app", FORBIDDEN)
def test_the_direction_of_imports(app):
    files = [path for path in (ROOT / app).rglob("*.py") if "tests" not in path.parts]
    assert files
    found = {}
    for path in files:
        if wrong := breaches(path.read_text(), ".".join(path.parent.relative_to(ROOT).parts)):
            found[str(path.relative_to(ROOT))] = wrong
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        "import proxy.models",
        "from proxy import relay",
        "def late():\n    import proxy",
        "from ..proxy import models",
        "import requests as r",
        "from urllib import request",
        "from http.client import HTTPConnection",
        "from llmgateway import settings",
    ],
)
def test_a_breach_is_seen(source):
    assert breaches(source, "conversations.admin" if ".." not in source else "conversations")


def test_what_is_allowed_is_no_breach():
    assert breaches("from urllib.parse import urlsplit\nfrom . import record\nimport proxying", "conversations") == []
    assert breaches("import requests\nfrom conversations import record", "proxy") == []
