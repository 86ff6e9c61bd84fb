"""Whatever stands in a sheet is read in time linear in its bytes: nobody can hold a server with 60 kB."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from chassis.egress.link_repairs import repair_link, repair_location
from ingest.sheets.decoding import decode_sheet
from ingest.sheets.links import read_links
from ingest.sheets.model import ProblemList, SheetError
from support.growth import MAX_GROWTH, growth

pytestmark = pytest.mark.timing

LINK = "https://a.example/1"
CELLS: dict[str, Callable[[int], str]] = {
    "commas between letters": lambda n: "a" + "," * n + "a",
    "commas before a link": lambda n: LINK + "," * n + "x" + "," * n + LINK,
    "blanks": lambda n: LINK + " " * n + "x",
    "blanks by ones": lambda n: LINK + " x" * n,
    "nested links": lambda n: LINK + "/https://b" * n,
    "question marks": lambda n: "http://a/" + "?" * n + ", http://b",
    "links without anything between": lambda n: "http://a" * n,
    "links and tildes": lambda n: "http://a.example/b~" * n,
    "marks of schemes": lambda n: "://" * n,
    "letters before a mark": lambda n: "h" * n + "://a",
    "letters and dots": lambda n: "a." * n,
    "closing brackets": lambda n: LINK + ")" * n,
    "opening brackets": lambda n: "[" * n + LINK,
    "quotes around quotes": lambda n: '"' * n + LINK + '"' * n,
    "tags": lambda n: LINK + "<br>" * n + LINK,
    "tags that do not end": lambda n: LINK + "<b" * n + LINK,
    "ends of tags": lambda n: LINK + ">" * n + LINK,
    "entities": lambda n: LINK + "?" + "&amp;" * n,
    "entities of entities": lambda n: LINK + "?&" + "amp;" * n,
    "zeros of an entity": lambda n: LINK + "?&#" + "0" * n,
    "percent signs": lambda n: LINK + "%" * n,
    "invisible characters": lambda n: "\u200b" * n + LINK + "\u200b" * n,
    "escaped slashes": lambda n: "https:" + "\\/" * n,
    "breaks in letters": lambda n: LINK + "\\n" * n + LINK,
    "encoded blanks": lambda n: LINK + "%20" * n + LINK,
    "weak signs": lambda n: LINK + " -" * n + LINK,
    "relative links": lambda n: "//a.jpg," * n,
    "relative links without ends": lambda n: "//a," * n,
    "names without a scheme": lambda n: "www.a.example " * n,
    "data": lambda n: "data:image/png;base64," + "//+a" * n,
    "data in data": lambda n: "data:image/," * n,
    "brackets of JSON": lambda n: "[" * n + "]" * n,
    "objects of JSON": lambda n: "[" + '{"src":"//a"},' * n + '{"a":1}]',
    "a number in JSON": lambda n: "[" + "1" * n + "]",
    "steps of a share link": lambda n: "https://drive.google.com/" + "d/" * n,
    "fields of a share link": lambda n: "https://www.dropbox.com/s/a?" + "&a=1" * n,
    "labels of a host": lambda n: "http://" + "a." * n + "com/x",
    "line ends": lambda n: LINK + "\n" * n + "x",
    "names of files": lambda n: LINK + " " + "a.jpg " * n,
}
_REPAIRED = (
    "quotes around quotes",
    "invisible characters",
    "entities of entities",
    "zeros of an entity",
    "percent signs",
)
TEXTS: dict[str, Callable[[int], str]] = {name: CELLS[name] for name in (*_REPAIRED, "blanks", "escaped slashes")} | {
    "a Location": lambda n: " " * n + "/a b" + "%" * n + "\u00ff" * n
}
BODIES: dict[str, Callable[[int], bytes]] = {
    "ASCII and one byte": lambda n: b"a" * n + b"\xe9",
    "one byte and ASCII": lambda n: b"\xe9" + b"a" * n,
    "bytes of Windows-1252": lambda n: b"\xe9a" * n,
    "words of Windows-1252": lambda n: b"na\xefve caf\xe9 " * n,
    "words of Windows-1251": lambda n: "стол,дуб ".encode("cp1251") * n,
    "bytes of Shift_JIS": lambda n: "木製テーブル,".encode("shift_jis") * n,
    "bytes that are nothing": lambda n: b"\x81\xff\x8d\xfe" * n,
    "zeros": lambda n: b"a\x00b" * n + b"\xe9",
    "blanks": lambda n: b" " * n + b"\xe9",
    "cut UTF-8": lambda n: "ü".encode() * n + b"\xff",
}


@pytest.mark.parametrize("name", CELLS)
def test_the_links_of_a_cell_are_read_in_linear_time(name: str) -> None:
    """The limit of a cell's characters is no help: cells are many."""
    assert growth(CELLS[name], read_links, size=2000) < MAX_GROWTH


@pytest.mark.parametrize("name", TEXTS)
def test_a_link_is_repaired_in_linear_time(name: str) -> None:
    """Also where nobody bounded it before: a redirect, a field of a form."""
    assert growth(TEXTS[name], repair_link, size=2000) < MAX_GROWTH
    assert growth(TEXTS[name], repair_location, size=2000) < MAX_GROWTH


@pytest.mark.parametrize("name", BODIES)
def test_an_encoding_is_found_in_linear_time(name: str) -> None:
    """However little of a file says which one it is."""

    def decode(body: bytes) -> None:
        with suppress(SheetError):
            decode_sheet(body, ProblemList())

    assert growth(BODIES[name], decode, size=2000) < MAX_GROWTH
