"""The list of mutants fits the code: each text stands where it should, each test exists."""

import ast

import pytest

from benchmarks.mutants import Mutant, mutants
from llmgateway.tests.sources import ROOT

MUTANTS = mutants()


def named(test: str) -> list[str]:
    """The names of functions in the test's file that bear the test's name, without parameters."""
    file, name = test.partition("[")[0].split("::")
    tree = ast.parse((ROOT / file).read_text())
    return [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.promise)
def test_a_mutant_fits_the_code(mutant):
    text = mutant.text(ROOT)
    assert mutant.new != mutant.old
    if mutant.file.endswith(".py"):
        ast.parse(text)
    assert named(mutant.test) == [mutant.test.partition("[")[0].split("::")[1]]


def test_each_is_one():
    assert len({(each.file, each.old, each.new) for each in MUTANTS}) == len(MUTANTS) > 50
    assert len({each.promise for each in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize(("old", "count"), [("no such text", 0), ("import", 2)])
def test_a_text_that_does_not_stand_there_once_is_an_error(old, count, tmp_path):
    (tmp_path / "a.py").write_text("import a\nimport b\n")
    with pytest.raises(ValueError, match=f"{count} times"):
        Mutant("", "a.py", old, "", "").text(tmp_path)
