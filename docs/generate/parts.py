"""Writes what each part of a package is for: the first line of its docstring."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def table(package: str) -> str:
    """Return the packages and modules of a package with their purposes, packages first."""
    folder = next(path for path in _sources() if path.name == package)
    packages = sorted(path.parent for path in folder.glob("*/__init__.py"))
    modules = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
    lines = ["| part | what it is for |", "| --- | --- |"]
    lines += [f"| `{path.name}/` | {_purpose(path / '__init__.py')} |" for path in packages]
    lines += [f"| `{path.stem}` | {_purpose(path)} |" for path in modules]
    return "\n".join(lines)


def _sources() -> list[Path]:
    return [*ROOT.glob("services/*/src/*"), ROOT / "infra/local/src/localcloud"]


def _purpose(module: Path) -> str:
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    first = " ".join(text.partition("\n\n")[0].split())
    return first.replace("|", "\\|")
