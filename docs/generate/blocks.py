"""Finds the generated blocks of the pages and fills them.

A block stands between two comments, which a reader of the page does not see:

    <!-- generated: limits ingest -->
    ...
    <!-- /generated -->

The first word names the function that writes it, the others are its arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from docs.generate import (
    catalogue,
    classes,
    codes,
    cost,
    floors,
    limits,
    parts,
    platforms,
    routes,
    scaling,
    settings,
    tables,
)

ROOT = Path(__file__).resolve().parents[2]
WRITERS: dict[str, Callable[..., str]] = {
    "catalogue": catalogue.rows_with_tests,
    "gaps": catalogue.gaps,
    "classes": classes.picture,
    "codes": codes.table,
    "cost": cost.table,
    "cost-parts": cost.parts,
    "cost-sizes": cost.sizes,
    "floors": floors.picture,
    "limits": limits.table,
    "parts": parts.table,
    "platforms": platforms.table,
    "routes": routes.table,
    "scaling-days": scaling.days,
    "scaling-sheets": scaling.sheets,
    "settings": settings.table,
    "tables": tables.picture,
    "titles": platforms.titles,
}
"""What may stand in a block, by its first word."""

_BLOCK = re.compile(r"^<!-- generated: ([^\n]+) -->\n.*?^<!-- /generated -->$", re.MULTILINE | re.DOTALL)


def pages() -> Iterator[Path]:
    """Yield every page that has a generated block."""
    for folder in ("", "docs", "services/*", "workflows", "bench"):
        for page in sorted(ROOT.glob(f"{folder}/*.md" if folder else "*.md")):
            if _BLOCK.search(page.read_text(encoding="utf-8")):
                yield page


def with_fresh_blocks(text: str) -> str:
    """Return a page's text with every block as the code wants it today.

    Raises:
        KeyError: a block has a name that nothing writes.
    """
    return _BLOCK.sub(lambda block: f"<!-- generated: {block[1]} -->\n{_written(block[1])}\n<!-- /generated -->", text)


@cache
def _written(order: str) -> str:
    name, *arguments = order.split()
    # Blank lines around it: a table that touches a comment is not drawn as a table.
    return f"\n{WRITERS[name](*arguments)}\n"
