"""The schema file is what the migrations make, and nothing but the floor of the tables makes statements."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from inspect import isfunction
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import TextClause

import reporter.state
from localcloud.stack.postgres import Postgres
from reporter.migrate import upgrade
from support.catalogue import catalogue_of, run_statements

SOURCES = Path("services/reporter/src/reporter")
STATE = ("state", "migrations", "migrate")
WRITES = re.compile(r"\b(INSERT INTO|UPDATE \w+|DELETE FROM)\b")
LOCKS = re.compile(r"\b([Ll]ocks?|locked)\b")
TYPES_OF_OTHERS = {"Connection", "Engine"}


def test_the_schema_file_is_what_the_migrations_make(postgres: Postgres, repository: Path) -> None:
    """Every column with type and default, every constraint, index and comment is the same in both."""
    for name in ("reporter_by_migrations", "reporter_by_file"):
        postgres.create_database(name)
    upgrade(postgres.url("reporter_by_migrations"))
    run_statements(postgres.url("reporter_by_file"), (repository / SOURCES / "state/schema.sql").read_text())

    made, written = (
        catalogue_of(postgres.url(name), version_table="alembic_version")
        for name in ("reporter_by_migrations", "reporter_by_file")
    )

    assert made == written
    assert len(made["columns"]) == 56


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE deliveries ALTER COLUMN resends SET DEFAULT 1",
        "ALTER TABLE deliveries ALTER COLUMN owner SET NOT NULL",
        "ALTER TABLE deliveries ALTER COLUMN generation TYPE bigint",
        "ALTER TABLE deliveries DROP CONSTRAINT deliveries_state",
        "DROP INDEX deliveries_due",
        "ALTER TABLE reports ADD COLUMN more text",
    ],
)
def test_the_comparison_sees_any_difference(postgres: Postgres, repository: Path, change: str) -> None:
    """A default, a NOT NULL, a type, a constraint, an index or a column more or less."""
    schema = (repository / SOURCES / "state/schema.sql").read_text()
    name = f"reporter_changed_{abs(hash(change))}"
    postgres.create_database(name)
    run_statements(postgres.url(name), schema)
    before = catalogue_of(postgres.url(name), version_table="alembic_version")
    run_statements(postgres.url(name), change)

    assert catalogue_of(postgres.url(name), version_table="alembic_version") != before


def statements_of(source: str) -> list[str]:
    """Return what a module does that only the floor of the tables may: make statements, or execute any."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found += [alias.name for alias in names if alias.name.partition(".")[0] in {"sqlalchemy", "psycopg2"}]
            case ast.ImportFrom(module=str(module), names=names) if module.startswith(("sqlalchemy", "psycopg2")):
                found += [alias.name for alias in names if alias.name not in TYPES_OF_OTHERS]
            case ast.Attribute(attr="execute" | "exec_driver_sql" | "scalar" | "scalars" | "cursor" as name):
                found.append(name)
    return found


def test_only_the_floor_of_the_tables_reads_and_writes_them(repository: Path) -> None:
    """No other module can make a statement or execute one."""
    modules = [
        path
        for path in (repository / SOURCES).rglob("*.py")
        if path.relative_to(repository / SOURCES).parts[0] not in STATE
    ]
    makers = {str(path): found for path in modules if (found := statements_of(path.read_text()))}

    assert len(modules) > 30
    assert makers == {}


@pytest.mark.parametrize(
    "source",
    [
        "from sqlalchemy import text",
        "import sqlalchemy as sa",
        "import psycopg2",
        "def f(connection): return connection.execute('x')",
        "from sqlalchemy.dialects.postgresql import insert",
    ],
)
def test_a_statement_elsewhere_is_seen(source: str) -> None:
    """The rule above would notice each way to make one."""
    assert statements_of(source)


def writers() -> dict[str, str]:
    """Return the public functions of the floor that write, by themselves or by private ones, with their docstrings."""
    found = {}
    for info in pkgutil.iter_modules(reporter.state.__path__):
        module = importlib.import_module(f"reporter.state.{info.name}")
        own = {name: f for name, f in vars(module).items() if isfunction(f) and f.__module__ == module.__name__}
        for name, function in own.items():
            if not name.startswith("_") and info.name != "locks" and writes(function, vars(module)):
                found[f"{info.name}.{name}"] = function.__doc__ or ""
    return found


def writes(function: Any, names: dict[str, Any]) -> bool:
    """Return whether a function uses a statement that writes."""
    used = [names[name] for name in function.__code__.co_names if name in names]
    texts = [item.text for item in used if isinstance(item, TextClause)]
    private = [item for item in used if isfunction(item) and item.__name__.startswith("_")]
    return any(WRITES.search(text) for text in texts) or any(writes(item, names) for item in private)


def test_every_transition_says_from_to_and_which_lock_it_holds() -> None:
    """Whoever asks what may move a delivery finds one function, and what it holds meanwhile."""
    found = writers()
    silent = [name for name, told in found.items() if not ("→" in told and LOCKS.search(told))]

    assert len(found) >= 20
    assert silent == []
