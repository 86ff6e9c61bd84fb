"""Writes tables of codes from their enumerations: each member is followed by a text that says what it means.

    STORAGE_REFUSED = "STORAGE_REFUSED"
    \"\"\"503: Cloud Storage refuses us; an operator must act\"\"\"

What stands before the first colon fills a column of its own where the enumeration has one.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECOND_COLUMN = {"Reason": "HTTP", "RequestReason": "HTTP", "SharedReason": "HTTP", "OutcomeCode": "transient"}
"""Enumerations whose texts begin with something of its own: a status, or whether trying again may help."""


def table(service: str, enumeration: str) -> str:
    """Return the members of an enumeration of a service with their meanings, in the order of the code.

    Raises:
        LookupError: there is no such enumeration, or a member has no text.
    """
    second = SECOND_COLUMN.get(enumeration)
    titles = ["code", *([second] if second else []), "meaning"]
    lines = [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
    for name, text in meanings(service, enumeration).items():
        cells = text.split(": ", 1) if second else [text]
        if len(cells) != len(titles) - 1:
            message = f"{service} {name}: the text begins with no {second}"
            raise LookupError(message)
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def meanings(service: str, enumeration: str) -> dict[str, str]:
    """Return the text below each member of an enumeration."""
    body = _body(service, enumeration)
    found = {}
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            if not isinstance(below, ast.Expr) or not isinstance(below.value, ast.Constant):
                message = f"{service} {enumeration}: {node.value.value!r} has no text below it"
                raise LookupError(message)
            found[str(node.value.value)] = " ".join(str(below.value.value).split())
    return found


def _body(service: str, enumeration: str) -> list[ast.stmt]:
    for path in sorted((ROOT / f"services/{service}/src").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if f"class {enumeration}(StrEnum)" in text:
            for node in ast.parse(text).body:
                if isinstance(node, ast.ClassDef) and node.name == enumeration:
                    return node.body
    message = f"{service} has no enumeration {enumeration}"
    raise LookupError(message)
