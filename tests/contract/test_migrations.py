"""No migration makes the users of a table wait for its size: what may not be written in one from now on.

Tables are in use while they are migrated. What locks a table is over at once, or it is done outside of the transaction
by `chassis.db.tables_in_use`. https://www.postgresql.org/docs/18/sql-altertable.html (Notes) says what reads a table.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BEFORE_THE_RULE = {"ingest": "0010", "reporter": "0006"}
"""The last migrations that were written without it: nothing was deployed yet."""

ONLINE = {"create_index", "in_pages"}
REFUSED = {
    "a plain index": r"CREATE\s+(UNIQUE\s+)?INDEX",
    "rows changed in one statement": r"^\s*(UPDATE|DELETE|INSERT\b.*\bSELECT)\b",
    "a type that rewrites the table": r"ALTER\s+(COLUMN\s+)?\w+\s+(SET\s+DATA\s+)?TYPE\b",
    "a default that is made for every row": r"ADD\s+COLUMN\b[^,]*DEFAULT\s+(gen_random_uuid|random|clock_)",
    "a column with a check or reference, which reads every row": r"ADD\s+COLUMN\b[^,]*\b(CHECK|REFERENCES)\b",
    "a column without a default that may not be null": r"ADD\s+COLUMN\b(?![^,]*DEFAULT)[^,]*NOT\s+NULL",
    "a constraint that reads every row": r"ADD\s+(CONSTRAINT|CHECK|FOREIGN|UNIQUE|PRIMARY)\b(?!.*NOT\s+VALID)",
    "NOT NULL, which reads every row": r"SET\s+NOT\s+NULL",
    "a table rewritten": r"\b(CLUSTER|VACUUM\s+FULL|SET\s+(UN)?LOGGED)\b",
}


def faults(source: str) -> list[str]:
    """Return what a migration does that may not be done to a table in use; tables that it makes itself are empty."""
    tree = ast.parse(source)
    online = {
        id(inner)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ONLINE
        for inner in ast.walk(call)
    }
    down = {
        id(inner)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and function.name == "downgrade"
        for inner in ast.walk(function)
    }
    texts = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in online | down
    ]
    own = set(re.findall(r"CREATE\s+TABLE\s+(\w+)", " ".join(texts)))
    return [
        f"{what}: {' '.join(text.split())}"
        for text in texts
        if not any(re.search(rf"\b(ON|INTO|TABLE|UPDATE|FROM)\s+{table}\b", text) for table in own)
        for what, pattern in REFUSED.items()
        if re.search(pattern, text, re.IGNORECASE | re.DOTALL)
    ]


@pytest.mark.fault("J5")
@pytest.mark.parametrize("service", ["ingest", "reporter"])
def test_new_migrations_make_nobody_wait(service: str) -> None:
    """Each file after those that were there before the rule."""
    folder = ROOT / f"services/{service}/src/{service}/migrations/versions"
    files = {path.name[1:5]: path for path in sorted(folder.glob("v*.py"))}

    assert BEFORE_THE_RULE[service] in files
    assert {
        path.name: faults(path.read_text(encoding="utf-8"))
        for revision, path in files.items()
        if revision > BEFORE_THE_RULE[service] and faults(path.read_text(encoding="utf-8"))
    } == {}


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX a ON images (host)",
        "create unique index a on images (host)",
        "UPDATE images SET host = ''",
        "INSERT INTO hosts SELECT DISTINCT host FROM images",
        "ALTER TABLE images ALTER COLUMN slot TYPE bigint",
        "ALTER TABLE images ADD COLUMN a uuid DEFAULT gen_random_uuid()",
        "ALTER TABLE images ADD COLUMN a integer NOT NULL DEFAULT 0 CHECK (a >= 0)",
        "ALTER TABLE images ADD COLUMN a text NOT NULL",
        "ALTER TABLE images ADD CONSTRAINT c CHECK (slot >= 0)",
        "ALTER TABLE images ALTER COLUMN slot SET NOT NULL",
    ],
)
def test_what_reads_or_locks_a_whole_table_is_found(statement: str) -> None:
    """The check itself."""
    assert len(faults(f"def upgrade():\n    op.execute({statement!r})")) == 1


@pytest.mark.parametrize(
    "line",
    [
        "op.execute('ALTER TABLE images ADD COLUMN a text')",
        'op.execute("ALTER TABLE images ADD COLUMN a integer NOT NULL DEFAULT 0")',
        "op.execute('ALTER TABLE images ADD CONSTRAINT c CHECK (slot >= 0) NOT VALID')",
        "op.execute('ALTER TABLE images VALIDATE CONSTRAINT c')",
        "create_index('a', 'ON images (host)')",
        "in_pages('UPDATE images SET a = 1 WHERE id IN (SELECT id FROM images WHERE a IS NULL LIMIT 5000)')",
        "op.execute('CREATE TABLE new (id int)'); op.execute('CREATE INDEX n ON new (id)')",
    ],
)
def test_what_is_over_at_once_is_let_through(line: str) -> None:
    """The check itself."""
    assert faults(f"def upgrade():\n    {line}") == []
