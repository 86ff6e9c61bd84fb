"""What is counted on the way through a sheet: rows, images, URLs, hosts, and pictures in columns that are not used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ingest.options import GROWING_ENDINGS
from ingest.sheets.columns import Judged
from ingest.sheets.evidence import Look, look_of
from ingest.sheets.header import cut
from ingest.sheets.links import ending_of, host_of
from ingest.sheets.model import Problem, ProblemCode, SheetFacts, SheetRow


class UnusedPictures:
    """Looks for links of pictures in columns that are not used and were not told of, so that none is lost silently."""

    def __init__(self, header: Sequence[str], judged: Judged) -> None:
        columns = judged.columns
        known = {*columns.urls, columns.output, columns.errors, *(other.index for other in judged.other_pictures)}
        self._header = header
        self._watched = [index for index in range(len(header)) if index not in known]
        self._rows: dict[int, list[int]] = {}

    def look(self, row: SheetRow) -> None:
        """Look at one more row."""
        if row.problems:
            return
        for index in self._watched:
            cell = row.cells[index]
            if "://" in cell and look_of(cell) is Look.PICTURE:
                seen = self._rows.setdefault(index, [row.number, 0])
                seen[1] += 1

    def warnings(self) -> Iterator[Problem]:
        """Yield a warning for each column that holds links of pictures."""
        for index, (first, count) in sorted(self._rows.items()):
            title = self._header[index]
            rows = f"row {first}" if count == 1 else f"{count} rows from row {first}"
            yield Problem(
                first,
                title,
                ProblemCode.PICTURES_NOT_USED,
                f"The column '{cut(title)}' holds links of pictures in {rows} and is not used. Name it in `columns` to"
                " use it.",
            )


class SheetCount:
    """Counts rows, images, URLs and hosts on the way; of more images than are allowed it counts only the number.

    Without `compares` it keeps no link: each image counts as one of its own, and hosts are not counted.
    """

    def __init__(self, max_images: int, options: Mapping[str, object], *, compares: bool = True) -> None:
        self._max_images = max_images if compares else 0
        self._compares = compares
        self._options = options
        self.rows = 0
        self.images = 0
        self._invalid_images = 0
        self._invalid_rows = 0
        self._urls: set[str] = set()
        self._jobs: set[tuple[str, tuple[tuple[str, object], ...]]] = set()
        self._hosts: Counter[str] = Counter()
        self._growing: Counter[str] = Counter()

    def add(self, row: SheetRow) -> None:
        """Count a row."""
        self.rows += 1
        self._invalid_rows += bool(row.problems)
        self.images += len(row.urls)
        self._invalid_images += len(row.faults)
        if self.images > self._max_images:
            return
        # What a row says as the batch does is nothing of its own.
        options = tuple(sorted(item for item in row.options.items() if self._options.get(item[0]) != item[1]))
        output = str(row.options.get("format", self._options.get("format", "jpeg")))
        growing = GROWING_ENDINGS.get(output, frozenset())
        for slot, url in enumerate(row.urls):
            if slot in row.faults:
                continue
            self._urls.add(url)
            self._jobs.add((url, options))
            self._hosts[host_of(url)] += 1
            ending = ending_of(url)
            if ending in growing:
                self._growing[ending] += 1

    def facts(self) -> SheetFacts:
        """Return what was counted."""
        return SheetFacts(
            rows=self.rows,
            invalid_rows=self._invalid_rows,
            images=self.images,
            unique_images=len(self._jobs) if self._compares else self.images - self._invalid_images,
            unique_urls=len(self._urls) if self._compares else self.images - self._invalid_images,
            hosts=dict(self._hosts.most_common()),
            invalid_images=self._invalid_images,
            growing=dict(self._growing.most_common()),
        )
