"""What PostgreSQL's catalogue says of the tables of a database, in a form that two databases can be compared by."""

from __future__ import annotations

import psycopg2

_CATALOGUE = {
    "columns": """
        SELECT c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod),
               a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity::text, a.attstattarget
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
          AND c.relname <> %(versions)s
    """,
    "constraints": """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> %(versions)s
    """,
    "indexes": """
        SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> %(versions)s
    """,
    "triggers": "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal",
    "functions": """
        SELECT proname, pg_get_function_arguments(oid), prorettype::regtype::text, provolatile::text, prosrc
        FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
    """,
    "views": "SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'",
    "comments": """
        SELECT objoid::regclass::text, objsubid, description FROM pg_description
        WHERE classoid = 'pg_class'::regclass AND objoid IN
            (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r')
    """,
}


def catalogue_of(database_url: str, *, version_table: str) -> dict[str, list[tuple[object, ...]]]:
    """Return all that a statement on the tables can notice, of all tables but the one that counts migrations.

    Columns with type, NOT NULL, default, identity and statistics target (not their order), constraints, indexes,
    triggers, functions, views and comments.
    """
    connection = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            found = {}
            for kind, query in _CATALOGUE.items():
                cursor.execute(query, {"versions": version_table})
                found[kind] = sorted(cursor.fetchall(), key=repr)
            return found
    finally:
        connection.close()


def run_statements(database_url: str, statements: str) -> None:
    """Run SQL statements in one transaction."""
    connection = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statements)
    finally:
        connection.close()
