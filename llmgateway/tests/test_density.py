"""One thought a line: what the linter has no rule for."""

import ast
from collections.abc import Iterator

import pytest

from llmgateway.tests.sources import ROOT, modules

FOLDERS = sorted({str(path.parent.relative_to(ROOT)) for path in modules().values()})


def dense(source: str) -> Iterator[str]:
    """Each line that says too much at once: its number, and why."""
    for node in ast.walk(ast.parse(source)):
        for reason in reasons(node):
            yield f"{node.lineno}: {reason}"  # type: ignore[attr-defined]


def reasons(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.IfExp) and any(
        isinstance(inner, ast.IfExp) for inner in ast.walk(node) if inner is not node
    ):
        yield "a conditional expression inside another"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.IfExp):
        yield "a conditional expression as a statement"
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        sides = (node.left, node.right)
        if any(map(is_text, sides)) and any(map(is_truth, sides)):
            yield "a text times a truth"
    if isinstance(node, ast.Assign) and sum(map(targets, node.targets)) > 2:
        yield "an assignment to three or more targets"


def is_text(node: ast.AST) -> bool:
    constant = isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    return constant or isinstance(node, ast.JoinedStr)


def is_truth(node: ast.AST) -> bool:
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    return (
        isinstance(node, ast.Compare | ast.BoolOp)
        or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))
        or (called and node.func.id in ("bool", "isinstance", "any", "all"))
    )


def targets(target: ast.expr) -> int:
    return sum(map(targets, target.elts)) if isinstance(target, ast.Tuple | ast.List) else 1


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_line_holds_one_thought(folder):
    files = (path for path in modules().values() if path.parent == ROOT / folder)
    found = {path.name: wrong for path in files if (wrong := [*dense(path.read_text())])}
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        "a = b if c else d if e else f",
        "a = b if (c if d else e) else f",
        "print(a) if b else print(c)",
        "a = 's' * (b > 1)",
        "a = bool(b) * f'{c}s'",
        "a, b, c = d",
        "a = b = c = d",
        "a, (b, c) = d",
    ],
)
def test_a_dense_line_is_seen(line):
    assert [*dense(line)]


@pytest.mark.parametrize(
    "line", ["a, b = c", "a = b = c", "a = b if c else d", "a = '=' * 80", "for a, b, c in d: e"]
)
def test_a_plain_line_is_none(line):
    assert not [*dense(line)]
