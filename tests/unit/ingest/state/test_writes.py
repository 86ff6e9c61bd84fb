"""Only the package `state` writes tables, and each of its writing functions says what it does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ingest

SOURCES = Path(ingest.__file__).parent
STATE = SOURCES / "state"
_WRITES = re.compile(
    r"\b(?:INSERT\s+INTO\b|UPDATE\s+\w+\s+SET\b|DELETE\s+FROM|MERGE\s+INTO|TRUNCATE|COPY\s+\w+\s*\("
    r"|FOR\s+(?:NO\s+KEY\s+)?UPDATE|FOR\s+(?:KEY\s+)?SHARE|pg_(?:try_)?advisory_xact_lock\b)",
    re.DOTALL,
)
_CONSTRUCTS = {"insert", "update", "delete"}
_SAYS_FROM_TO = re.compile(r"\S+ → \S+")
_SAYS_LOCKS = re.compile(r"\b(?:holds|[Ll]ocks)\b")


def writes_in(source: str) -> list[int]:
    """Return the lines of a module that write tables or lock rows: in SQL, or with SQLAlchemy's constructs."""
    tree = ast.parse(source)
    documents = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in documents and _WRITES.search(text):
                found.append(node.lineno)
            case ast.ImportFrom(module="sqlalchemy" | "sqlalchemy.dialects.postgresql", names=names):
                found += [node.lineno for alias in names if alias.name in _CONSTRUCTS]
    return found


@pytest.mark.parametrize(
    "source",
    [
        'x = text("UPDATE images SET a = 1")',
        'x = text("""\n    WITH a AS (SELECT 1)\n    INSERT\n  INTO rows VALUES (1)""")',
        'x = "DELETE FROM hosts"',
        'x = f"COPY rows ({y}) FROM STDIN"',
        'x = "SELECT * FROM batches FOR UPDATE SKIP LOCKED"',
        "from sqlalchemy import select, update",
    ],
)
def test_the_scan_sees_writes(source: str) -> None:
    """Whatever their form."""
    assert writes_in(source)


def test_the_scan_is_not_misled() -> None:
    """Documentation and reads are no writes."""
    assert writes_in('"""UPDATE images SET is what state does."""\nx = text("SELECT updated FROM images")') == []


def test_only_state_writes_tables() -> None:
    """Whoever asks who may move an image from DISPATCHED to PENDING looks in one place."""
    outside = [
        f"{path.relative_to(SOURCES)}:{line}"
        for path in sorted(SOURCES.rglob("*.py"))
        if path.relative_to(SOURCES).parts[0] not in {"state", "migrations"}
        for line in writes_in(path.read_text(encoding="utf-8"))
    ]
    assert outside == []


def test_every_transition_says_from_to_and_its_locks() -> None:
    """One named function each, with both in its docstring."""
    transitions = dict(_transitions())
    assert len(transitions) >= 25
    silent = [
        name
        for name, document in transitions.items()
        if not (_SAYS_FROM_TO.search(document) and _SAYS_LOCKS.search(document))
    ]
    assert silent == []


def _transitions() -> Iterator[tuple[str, str]]:
    """Yield the public functions of `state` that write, by themselves or by private ones, with their docstrings."""
    for path in sorted(STATE.glob("*.py")):
        if path.name == "locks.py":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        writing = _writing_constants(tree)
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
        private = [node for node in functions if node.name.startswith("_")]
        while True:
            more = {node.name for node in private if _names_in(node) & writing} - writing
            if not more:
                break
            writing |= more
        for node in functions:
            if not node.name.startswith("_") and _names_in(node) & writing:
                yield f"{path.stem}.{node.name}", ast.get_docstring(node) or ""


def _writing_constants(tree: ast.Module) -> set[str]:
    """Return the names of statements that write; a statement may be made of another one."""
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            parts = list(ast.walk(node.value))
            texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            used = {part.id for part in parts if isinstance(part, ast.Name)}
            if used & names or any(_WRITES.search(text) for text in texts):
                names.add(node.targets[0].id)
    return names


def _names_in(function: ast.FunctionDef) -> set[str]:
    return {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
