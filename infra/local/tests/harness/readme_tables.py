"""The tables of the README that come from data: the command line's flags and the fidelity lines.

`python tests/harness/readme_tables.py` writes them between their markers; a test says when that is due.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from conformance_report import fidelity_lines
from localcloud.__main__ import _parser

README = Path(__file__).resolve().parents[2] / "README.md"
STATUS = {"faithful": "faithful", "approximated": "**approximated**", "refused": "**refused**"}


def readme_blocks(language: str) -> list[str]:
    """Return the README's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def flag_table() -> str:
    """Return one table of every subcommand's arguments, in the order of `--help`."""
    rows = ["| command | argument | default | meaning |", "| --- | --- | --- | --- |"]
    for name, command in _subcommands():
        rows += [_flag_row(name, action) for action in command._actions if not isinstance(action, argparse._HelpAction)]
    return "\n".join(rows)


def fidelity_table() -> str:
    """Return the fidelity lines as a table."""
    rows = ["| id | area | behaviour | status | known from | note |", "| --- | --- | --- | --- | --- | --- |"]
    rows += [
        f"| `{line['id']}` | {line['area']} | {line['behaviour']} | {STATUS[line['status']]} | {line['known_from']} "
        f"| {line['note']} |".replace("|  |", "| |")
        for line in fidelity_lines()
    ]
    return "\n".join(rows)


def summary_table() -> str:
    """Return how many lines of each area are faithful, approximated and refused."""
    counts: dict[str, Counter[str]] = {}
    for line in fidelity_lines():
        counts.setdefault(line["area"], Counter())[line["status"]] += 1
    rows = ["| area | faithful | approximated | refused |", "| --- | --- | --- | --- |"]
    rows += [
        f"| {area} | " + " | ".join(str(found[each] or "") for each in STATUS) + " |" for area, found in counts.items()
    ]
    return "\n".join(row.replace("|  |", "| |").replace("|  |", "| |") for row in rows)


TABLES = {"flags": flag_table, "fidelity": fidelity_table, "summary": summary_table}


def table_in(text: str, name: str) -> str:
    """Return what stands between the markers `<!-- NAME -->` and `<!-- /NAME -->`."""
    found = re.search(rf"<!-- {name} -->\n(.*?)\n<!-- /{name} -->", text, re.DOTALL)
    assert found is not None, f"{README.name} has no markers for the table {name}"
    return found[1]


def main() -> None:
    """Write every table into the README."""
    text = README.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        marked = f"<!-- {name} -->\n{{}}\n<!-- /{name} -->"
        text = text.replace(marked.format(table_in(text, name)), marked.format(table()))
    README.write_text(text, encoding="utf-8")


def _subcommands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in _parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _flag_row(command: str, action: argparse.Action) -> str:
    placeholder = action.dest if action.metavar is None else str(action.metavar)
    name = ", ".join(f"`{option}`" for option in action.option_strings) or f"`{placeholder.upper()}`"
    shows_default = action.default not in (None, False, [], argparse.SUPPRESS)
    default = f"`{action.default}`" if shows_default else "needed" if action.required else ""
    meaning = re.sub(r"\s*\(default: %\(default\)s\)", "", action.help or "").strip()
    return f"| {command} | {name} | {default} | {meaning} |".replace("|  |", "| |")


if __name__ == "__main__":
    main()
