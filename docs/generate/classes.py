"""Draws classes with their fields from the sources, as Mermaid."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def picture(*names: str) -> str:
    """Return a class diagram; a field whose type is another class of the picture is an arrow.

    Args:
        names: `service/Class`; each is one class of that service.
    """
    wanted = [name.partition("/")[::2] for name in names]
    known = {name for _, name in wanted}
    lines, arrows = [], []
    for service, name in wanted:
        lines.append(f"  class {name} {{")
        lines.append(f"    <<{service}>>")
        for field, kind in _fields(service, name):
            lines.append(f"    {field} {_plain(kind)}")
            arrows += [f"  {name} --> {other} : {field}" for other in sorted(known & _names(kind)) if other != name]
        lines.append("  }")
    return "\n".join(["```mermaid", "classDiagram", *lines, *arrows, "```"])


def _fields(service: str, name: str) -> list[tuple[str, ast.expr]]:
    found = [
        node
        for path in sorted((ROOT / f"services/{service}/src").rglob("*.py"))
        if f"class {name}" in (text := path.read_text(encoding="utf-8"))
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef) and node.name == name
    ]
    if len(found) != 1:
        message = f"{service} has {len(found)} classes {name}"
        raise LookupError(message)
    return [
        (node.target.id, node.annotation)
        for node in found[0].body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]


def _names(kind: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(kind) if isinstance(node, ast.Name)}


def _plain(kind: ast.expr) -> str:
    # Mermaid reads brackets as the marks of generics and bars as ends of labels.
    text = ast.unparse(kind).replace(" | None", "?").replace(" | ", " or ")
    return text.replace("[", "~").replace("]", "~").replace("...", "").replace(", ~", "~")
