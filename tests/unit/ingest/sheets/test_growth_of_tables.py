"""A sheet as a whole is read in time linear in its bytes, whatever its lines, titles, columns and items look like."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

import pytest

from ingest.http.upload_schemas import UploadForm
from ingest.sheets.heading import heading_as_read, heading_key, heading_words
from ingest.sheets.intake import SheetRequest, read_items, read_sheet
from ingest.sheets.items import Item
from ingest.sheets.model import OnInvalid, SheetError, SheetLimits
from ingest.sheets.titles import kind_of_title
from support.growth import MAX_GROWTH, growth

pytestmark = pytest.mark.timing

LIMITS = SheetLimits(max_bytes=64 * 2**20, max_rows=10**6, max_images=10**6, max_urls_per_cell=10**6, max_columns=10**6)
LINK = "https://a.example/1.jpg"
NAMED = "Name,Image\n"
SHEETS: dict[str, Callable[[int], str]] = {
    "one line": lambda n: "a" * n,
    "commas": lambda n: "," * n,
    "columns": lambda n: ",".join(f"Image {number}" for number in range(n // 8)) + f"\n{LINK}\n",
    "columns of one title": lambda n: "Image," * (n // 6) + f"\n{LINK}\n",
    "columns of unknown titles": lambda n: "Zzyzx," * (n // 6) + f"\n{LINK}\n",
    "columns of links": lambda n: "a," * (n // 24) + "\n" + f"{LINK}," * (n // 24) + "\n",
    "columns of options": lambda n: "quality," * (n // 8) + "Image\n" + "x," * (n // 8) + f"{LINK}\n",
    "combining marks in a title": lambda n: "Name,Image" + "\u0300\u0316" * (n // 2) + f"\nLamp,{LINK}\n",
    "brackets in a title": lambda n: "Name,Image" + "(" * n + f"\nLamp,{LINK}\n",
    "a rule that is none": lambda n: "|Name|Image|\n" + "--|" * (n // 3) + " " * 20 + "x\n",
    "dashes, bars and blanks": lambda n: "Name|Image\n--|--" + " " * n + "x\n",
    "rules of a table": lambda n: "|Name|Image|\n" + "|---|---|\n" * (n // 10),
    "colons of a rule": lambda n: "|Name|Image|\n|" + ":" * n + "|--|\n",
    "bars with backslashes": lambda n: "|Name|Image|\n|--|--|\n|" + "\\|" * (n // 2) + f"|{LINK}|\n",
    "blank lines": lambda n: "\n" * n + NAMED,
    "lines of blank cells": lambda n: ",,\n" * (n // 3) + NAMED,
    "lines of titles": lambda n: NAMED * (n // 11),
    "end marks": lambda n: NAMED + "END\n" * (n // 4),
    "end marks and rows": lambda n: NAMED + f"END\n\nLamp,{LINK}\n" * (n // 35),
    "totals": lambda n: NAMED + "total" + ",1" * (n // 2) + "\n",
    "a long end mark": lambda n: NAMED + "#" * n + "end\n",
    "remarks": lambda n: "#INFO picture link,\n" * (n // 20) + NAMED + f"Lamp,{LINK}\n",
    "explanations": lambda n: NAMED + "the name,the picture link " + "url " * (n // 4) + f"\nLamp,{LINK}\n",
    "quotes that never close": lambda n: NAMED + 'Lamp,"' + "\n" * n,
    "lines of one quote each": lambda n: NAMED + '"\n' * (n // 2),
    "quotes of words": lambda n: "A,B,Image\n" + "“a," * (n // 3) + f"b”,{LINK}\n",
    "quotes that open only": lambda n: "A,B,Image\n" + "“," * (n // 2) + f"{LINK}\n",
    "quoted lines": lambda n: '"Name,Image"\n' + f'"Lamp,{LINK}"\n' * (n // 32),
    "a quoted line of quotes": lambda n: '"Name,Image"\n"Lamp,' + '""' * (n // 2) + f'{LINK}"\n',
    "backslashes": lambda n: NAMED + '"a\\"b' + "\\" * n + f'",{LINK}\n',
    "backslashes and quotes": lambda n: NAMED + '"' + 'a\\"' * (n // 3) + f'",{LINK}\n',
    "numbers": lambda n: NAMED + f"Lamp,{LINK}\n" + "1" * n + ",\n",
    "blanks of a number": lambda n: NAMED + "1 " * (n // 2) + f",{LINK}\n",
    "letters before a link": lambda n: NAMED + "Lamp," + "a" * n + f":{LINK}\n",
    "short rows": lambda n: "Name,Image,A,B\n" + "a\n" * (n // 2),
    "long rows": lambda n: NAMED + f"a,{LINK}" + f",{LINK}" * (n // 24) + "\n",
    "handles": lambda n: "Handle,Title,Image\n" + f"h,,{LINK}\n" * (n // 28),
    "sep lines": lambda n: "sep=;\n" + "sep=;\n" * (n // 6),
    "semicolons and commas": lambda n: "Name;Image,x\n" + ";,|\t" * (n // 4) + "\n",
}
TITLES: dict[str, Callable[[int], str]] = {
    "combining marks": lambda n: "\u0300\u0316" * n,
    "letters that NFKC makes long": lambda n: "\ufdfa" * n,
    "capitals": lambda n: "aB" * n,
    "brackets": lambda n: "(" * n + "image",
    "digits": lambda n: "image" + "1" * n,
    "words": lambda n: "image " * n,
    "words run together": lambda n: "image" * n,
}
CHOICES: dict[str, Callable[[int], str]] = {
    "a title of marks": lambda n: json.dumps({"urls": "\u0300\u0316" * n}, ensure_ascii=False),
    "many titles": lambda n: json.dumps({"urls": ["x"] * n}),
    "lists in lists": lambda n: "[" * n + "]" * n,
    "roles": lambda n: json.dumps({f"role{number}": "x" for number in range(n)}),
    "a role twice": lambda n: "{" + '"urls": "x",' * n + '"urls": "y"}',
    "a number": lambda n: '{"urls": ' + "1" * n + "}",
    "escapes": lambda n: '{"urls": "' + "\\u0300" * n + '"}',
}


@pytest.mark.parametrize("name", SHEETS)
def test_a_sheet_is_read_in_linear_time(name: str) -> None:
    """Accepted or refused: six sheets of 60 kB must not hold a server."""

    def read(text: str) -> None:
        with suppress(SheetError):
            read_sheet(text.encode(), LIMITS, SheetRequest(on_invalid=OnInvalid.SKIP))

    assert growth(SHEETS[name], read, size=4000) < MAX_GROWTH


@pytest.mark.parametrize("name", TITLES)
def test_titles_are_compared_in_linear_time(name: str) -> None:
    """What is compared of a title is cut before it is normalised."""

    def compare(title: str) -> None:
        for number in range(50):
            different = f"{number}{title}"
            heading_key(different), heading_words(different), heading_as_read(different), kind_of_title(different)

    assert growth(TITLES[name], compare, size=4000) < MAX_GROWTH


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_of_columns_is_read_in_linear_time(name: str) -> None:
    """The field `columns`, then the look for its titles in a header."""

    def choose(text: str) -> None:
        with suppress(ValueError, SheetError):
            chosen = UploadForm.model_validate({"columns": text}).columns
            read_sheet(b"Name,Image\nLamp,https://a.example/1.jpg\n", LIMITS, SheetRequest(columns=chosen))

    assert growth(CHOICES[name], choose, size=2000, most=8000) < MAX_GROWTH


@pytest.mark.parametrize("text", ["\u0300\u0316", "a,", "https://a.example/", "www.a.example "])
def test_items_are_read_in_linear_time(text: str) -> None:
    """Names and links of JSON items, which no cell bounds."""

    def read(long: str) -> None:
        items = [Item("1", long, (long, LINK)), *(Item(str(number), "x", (LINK,)) for number in range(len(long) // 50))]
        with suppress(SheetError):
            read_items(items, LIMITS, SheetRequest(on_invalid=OnInvalid.SKIP))

    assert growth(lambda n: text * (n // len(text)), read, size=4000) < MAX_GROWTH
