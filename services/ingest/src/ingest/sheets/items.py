"""Items of a JSON request as the records of a sheet, so that JSON and sheets make the same batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingest.sheets.header import OPTION_TITLES, ROLE_TITLES, Role
from ingest.sheets.model import Dialect, Layout, ProblemList
from ingest.sheets.records import Record
from ingest.sheets.row_options import option_cells

DIALECT = Dialect("utf-8", bom=False, delimiter=",", layout=Layout.ITEMS)
_COLUMNS = tuple(ROLE_TITLES[role] for role in (Role.SERIAL, Role.NAME, Role.URLS))


@dataclass(frozen=True, slots=True)
class Item:
    """One product: opaque id, name, its image links in slot order, and options of its own."""

    id: str
    name: str
    urls: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


class ItemList:
    """Items as records. The first item is row 2, as it would be in the sheet that the report is made of."""

    dialect = DIALECT

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items
        used = {option for item in items for option in item.options}
        self._options = [option for option in OPTION_TITLES if option in used]

    def records(self, problems: ProblemList) -> Iterator[Record]:  # noqa: ARG002 - the protocol's; JSON was parsed before
        """Yield the header and one record per item."""
        yield Record(1, [*_COLUMNS, *(OPTION_TITLES[option] for option in self._options)])
        for number, item in enumerate(self._items, start=2):
            set_here = option_cells(item.options)
            cells = [item.id, item.name, ", ".join(item.urls), *(set_here.get(name, "") for name in self._options)]
            yield Record(number, cells, item.urls)
