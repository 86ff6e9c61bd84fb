"""Reads from the sources of the tests which fault, feature or threat each of them shows.

`@pytest.mark.fault("A3", "B1")` on a test function is the only place where that is said. Nothing is imported.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KINDS = ("fault", "feature", "threat")


class MarkError(Exception):
    """A mark stands where nobody would find it, or its ids are not plain texts."""


@dataclass(frozen=True, slots=True, order=True)
class MarkedTest:
    """A test function by its file and name."""

    path: Path
    name: str


def marked_tests(folders: tuple[Path, ...], kind: str) -> dict[str, list[MarkedTest]]:
    """Return the tests that have a mark of this kind, by each id that the mark names, in the order of their files.

    Raises:
        MarkError: a mark is not on a test function, or its ids are not written out.
    """
    found: dict[str, list[MarkedTest]] = defaultdict(list)
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            if f"pytest.mark.{kind}(" in source:
                for name, ids in _marks_in(ast.parse(source), kind, path):
                    for id_ in ids:
                        found[id_].append(MarkedTest(path, name))
    return found


def _marks_in(tree: ast.Module, kind: str, path: Path) -> Iterator[tuple[str, list[str]]]:
    marks = {node for node in ast.walk(tree) if _is_mark(node, kind)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            for decorator in node.decorator_list:
                if decorator in marks and isinstance(decorator, ast.Call):
                    marks.remove(decorator)
                    yield node.name, _texts(decorator, path)
    for lost in marks:
        message = f"{path}:{getattr(lost, 'lineno', 0)}: the mark {kind} is not on a test function"
        raise MarkError(message)


def _is_mark(node: ast.AST, kind: str) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == f"pytest.mark.{kind}"


def _texts(mark: ast.Call, path: Path) -> list[str]:
    texts = [argument.value for argument in mark.args if isinstance(argument, ast.Constant)]
    if not texts or len(texts) != len(mark.args) or not all(isinstance(text, str) for text in texts):
        message = f"{path}:{mark.lineno}: a mark names its ids as texts"
        raise MarkError(message)
    return [str(text) for text in texts]
