"""Draws the tables of a service from its schema, as Mermaid."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_TABLE = re.compile(r"^CREATE TABLE (?:public\.)?(\w+) \((.*?)^\)[^;\n]*;", re.MULTILINE | re.DOTALL)
_COLUMN = re.compile(r"^    (\w+) (\w+(?:\[\])?)([^\n]*)", re.MULTILINE)
_NO_COLUMN = {"CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its columns (name, type), its key, and the tables that its constraints refer to."""

    name: str
    columns: tuple[tuple[str, str], ...]
    key: frozenset[str]
    refers_to: tuple[str, ...]


def picture(service: str) -> str:
    """Return an entity diagram of every table of a service.

    A full line is a foreign key. A dotted one says that a table has the key columns of another, without a constraint.
    """
    schema = (ROOT / f"services/{service}/src/{service}/state/schema.sql").read_text(encoding="utf-8")
    tables = tables_of(schema)
    lines = []
    for table in tables:
        lines.append(f"  {table.name} {{")
        lines += [f"    {kind} {name}{' PK' if name in table.key else ''}" for name, kind in table.columns]
        lines.append("  }")
    for table in tables:
        columns = {name for name, _ in table.columns}
        lines += [f"  {target} ||--o{{ {table.name} : has" for target in table.refers_to]
        lines += [
            f"  {other.name} ||..o{{ {table.name} : has"
            for other in tables
            if other is not table
            and other.name not in table.refers_to
            # A key of the one name `id` means another thing in every table.
            and other.key <= columns
            and other.key != {"id"}
        ]
    return "\n".join(["```mermaid", "erDiagram", *lines, "```"])


def tables_of(schema: str) -> list[Table]:
    """Read the tables of a schema as `state/schema.sql` writes it, a column a line."""
    found = []
    for name, body in _TABLE.findall(schema):
        columns = [(column, kind, rest) for column, kind, rest in _COLUMN.findall(body) if column not in _NO_COLUMN]
        key = {column for column, _, rest in columns if "PRIMARY KEY" in rest}
        key |= set(re.findall(r"\w+", "".join(re.findall(r"PRIMARY KEY \(([^)]*)\)", body))))
        refers_to = tuple(dict.fromkeys(re.findall(r"REFERENCES (\w+)", body)))
        found.append(Table(name, tuple((column, kind) for column, kind, _ in columns), frozenset(key), refers_to))
    return found
