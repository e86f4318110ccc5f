"""Which part may import which.

proxy imports conversations, never the other way round; folders know only the folders below them;
there are no circles.
"""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from llmgateway.tests.sources import APPS, ROOT, modules

HTTP_CLIENTS = {
    "requests",
    "urllib3",
    "urllib.request",
    "http.client",
    "httpx",
    "httpx2",
    "aiohttp",
    "openai",
}
FORBIDDEN = {
    "conversations": {"proxy", "llmgateway"} | HTTP_CLIENTS,
    "proxy": {"llmgateway"},
    "conversations.speech": {"django", "orjson"},
    "llmgateway": set(),
    "llmgateway.configuration": {"conversations", "proxy", "django"},
    "llmgateway.embedded": {"conversations", "proxy"},
    "proxy.demo": {"conversations", "proxy.api", "proxy.relay", "proxy.upstreams", "django"},
}
# Folders of an app, from the ground up: each may import those that stand before it, and the flat
# modules of its app.
FLOORS = {
    "conversations": [
        "speech",
        "models",
        "record",
        "people",
        "proof",
        "search",
        "report",
        "imports",
        "reading",
        "exports",
        "admin",
        "management",
    ],
    "proxy": [
        "protocols",
        "limits",
        "providers",
        "models",
        "upstreams",
        "relay",
        "jobs",
        "api",
        "pages",
        "admin",
    ],
    "llmgateway": ["configuration", "embedded", "demo", "ops", "server", "management"],
}
# Beside that: what a folder does without though it stands above.
STRANGERS = {
    "conversations.proof": {"people"},
    "conversations.search": {"proof"},
    "conversations.report": {"proof", "search"},
    "conversations.imports": {"proof", "search", "report"},
    "conversations.reading": {"proof", "report", "imports"},
    "conversations.exports": {"report", "imports"},
    "proxy.pages": {"api"},
    "proxy.admin": {"api", "pages"},
}


def imported(source: str, package: str) -> Iterator[str]:
    """Yield every module that this source imports, inside functions too.

    Each name that it takes from one comes too, as that may be a module.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = (
                package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            )
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def beneath(name: str, packages: Iterable[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def forbidden(package: str) -> set[str]:
    """What the modules of a package may not import."""
    names = {
        name for above, those in FORBIDDEN.items() if beneath(package, [above]) for name in those
    }
    app, _, folder = package.partition(".")
    floors, folder = FLOORS[app], folder.partition(".")[0]
    if folder in floors:
        higher = {*floors[floors.index(folder) + 1 :], *STRANGERS.get(f"{app}.{folder}", ())}
        names |= {f"{app}.{each}" for each in higher}
    return names


def breaches(source: str, package: str) -> list[str]:
    barred = forbidden(package)
    return sorted({name for name in imported(source, package) if beneath(name, barred)})


def package_of(name: str, path: Path) -> str:
    return name if path.name == "__init__.py" else name.rpartition(".")[0]


def arrows(sources: dict[str, tuple[str, str]]) -> dict[str, set[str]]:
    """Map each module (name → its package and source) to those among them that it imports.

    An import of a package means its module where there is one.
    """
    found = {}
    for name, (package, source) in sources.items():
        meant = {each for each in imported(source, package) if each in sources}
        found[name] = {
            each for each in meant if not any(other.startswith(each + ".") for other in meant)
        } - {name}
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        waiting, seen = [*graph[start]], set()
        while waiting:
            if (node := waiting.pop()) not in seen:
                seen.add(node)
                waiting += graph.get(node, ())
        reached[start] = seen
    groups = {
        tuple(sorted(node for node in reached[start] if start in reached.get(node, ())))
        for start in graph
        if start in reached[start]
    }
    return [list(group) for group in sorted(groups)]


def by_folder(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    """The same between folders; a module that lies flat in its app is a folder of its own."""
    folders: dict[str, set[str]] = {}
    for name, targets in graph.items():
        folder = ".".join(name.split(".")[:2])
        folders.setdefault(folder, set()).update(
            {".".join(target.split(".")[:2]) for target in targets} - {folder}
        )
    return folders


def house() -> dict[str, tuple[str, str]]:
    return {name: (package_of(name, path), path.read_text()) for name, path in modules().items()}


def test_the_direction_of_imports():
    found = {
        name: wrong
        for name, (package, source) in house().items()
        if (wrong := breaches(source, package))
    }
    assert found == {}


def modules_of_tests() -> dict[str, Path]:
    """The modules of tests, with their helpers, by their dotted names."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for app in APPS
        for path in (ROOT / app).rglob("*.py")
        if "tests" in path.relative_to(ROOT).parts
    }


def holds_tests(name: str) -> bool:
    return "tests" in name.split(".") and any(part.startswith("test_") for part in name.split("."))


def test_no_test_module_is_imported():
    """What tests share stands in a conftest, or in a module that holds no test."""
    found = {
        name: wrong
        for name, path in modules_of_tests().items()
        if (
            wrong := sorted(filter(holds_tests, imported(path.read_text(), package_of(name, path))))
        )
    }
    assert found == {}


def test_every_folder_has_its_floor():
    folders = {
        path.parent.relative_to(ROOT).parts
        for path in modules().values()
        if len(path.relative_to(ROOT).parts) > 2
    }
    known = {(app, folder) for app, floors in FLOORS.items() for folder in floors}
    # pages load the one; the other is a program of its own
    apart = {
        ("conversations", "templatetags"),
        ("proxy", "demo"),
    }
    assert {folder[:2] for folder in folders} == known | apart


def test_no_circles():
    graph = arrows(house())
    assert len(graph) > 200
    assert circles(graph) == []
    assert circles(by_folder(graph)) == []


@pytest.mark.parametrize(
    "folder", sorted({f"{app}/{folder}" for app, floors in FLOORS.items() for folder in floors})
)
def test_a_folder_says_what_is_in_it(folder):
    """Two lines at least: what it holds, and what it may import. Three files, or it is none."""
    if folder.endswith("management"):
        return  # Django finds commands there
    assert len(list((ROOT / folder).glob("*.py"))) >= 3
    words = ast.get_docstring(ast.parse((ROOT / folder / "__init__.py").read_text()))
    assert words
    assert folder.split("/")[1] in ("models", "admin") or len(words.splitlines()) > 1


@pytest.mark.parametrize(
    ("source", "package"),
    [
        ("import proxy.models", "conversations.admin"),
        ("from proxy.relay import calls", "conversations.admin"),
        ("def late():\n    import proxy", "conversations.admin"),
        ("from ..proxy import models", "conversations"),
        ("import requests as r", "conversations.reading"),
        ("from urllib import request", "conversations.reading"),
        ("from http.client import HTTPConnection", "conversations.reading"),
        ("from llmgateway import settings", "conversations"),
        ("from ..people import audit", "conversations.record"),
        ("from ..exports import job", "conversations.reading"),
        ("from ..pages import chat", "proxy.relay"),
        ("from proxy.api import openai", "proxy.pages"),
        ("from ..ops import doctor", "llmgateway.embedded"),
    ],
)
def test_a_breach_is_seen(source, package):
    assert breaches(source, package)


def test_what_is_allowed_is_no_breach():
    assert (
        breaches(
            "from urllib.parse import urlsplit\nfrom . import review\nimport proxying",
            "conversations",
        )
        == []
    )
    assert breaches("import requests\nfrom conversations import record", "proxy") == []
    assert breaches("from ..record import threads", "conversations.reading") == []


def test_a_circle_is_seen():
    files = {
        "a.b.one": ("a.b", "from ..c import two"),
        "a.c.two": ("a.c", "def late():\n    from a.b import three"),
        "a.b.three": ("a.b", ""),
    }
    assert circles(arrows(files)) == []
    assert circles(by_folder(arrows(files))) == [["a.b", "a.c"]]
    files["a.b.three"] = ("a.b", "from . import one")
    assert circles(arrows(files)) == [["a.b.one", "a.b.three", "a.c.two"]]
