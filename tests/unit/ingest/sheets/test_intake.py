"""What a sheet may look like, and what is said about one that may not."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sheets.intake import read_sheet
from ingest.sheets.links import link_fault, read_links
from ingest.sheets.model import Sheet, SheetError, SheetLimits

LIMITS = SheetLimits(max_bytes=2_000_000, max_rows=1000, max_images=1000, max_urls_per_cell=100, max_columns=200)
HEADER = "S. No.,Product Name,Input Image Urls"
THUMBOR = "https://t.example/filters:sharpen(1,0,false)/a.jpg"
CLOUDINARY = "https://c.example/c_fit,f_auto/b;v=1|x.jpg"

SERIALS = [
    "S. No.",
    "Serial Number",
    "S.No.",
    "S.No",
    "S No.",
    "S. No",
    "Sno.",
    "sno",
    "s no",
    "Sr. No.",
    "serial_number",
]
SERIALS += ["SerialNumber", "serialNumber", "Sl. No.", "No", "Index"]
NAMES = ["Product Name", "ProductName", "product name", "productname", "product_name", "Name", "Title", "SKU", "Handle"]
URLS = [
    "Input Image Urls",
    "Input Image URLs",
    "Input Image Url",
    "Input Image URL",
    "input image urls",
    "InputImageUrls",
]
URLS += ["inputImageUrls", "inputimageurls", "input_image_urls", "Input Image Urls URLs", "Input URLs", "Image URLs"]
URLS += [
    "CoverImageURL",
    "Image Src",
    "Images",
    "image_link",
    "additional_image_link",
    "URL",
    "\u200bInput\xa0Image Urls",
]
OUTPUTS = ["Output Image Urls", "Output Image URLs", "Output Image urls", "Output URLs"]


def read(text: str | bytes, **limits: int) -> Sheet:
    """Read a sheet."""
    body = text.encode() if isinstance(text, str) else text
    return read_sheet(body, replace(LIMITS, **limits))


def urls_of(cell: str) -> tuple[str, ...]:
    """Return the links of a cell as they are asked for."""
    return tuple(link.url for link in read_links(cell).links)


def problems(text: str | bytes, **limits: int) -> list[tuple[int | None, str | None, str]]:
    """Return what is wrong with a sheet as (row, column, code)."""
    with pytest.raises(SheetError) as caught:
        read(text, **limits)
    return [(problem.row, problem.column, problem.code.value) for problem in caught.value.problems.listed]


@pytest.mark.feature("2")
@pytest.mark.parametrize("title", SERIALS)
def test_every_serial_header_in_use_is_known(title: str) -> None:
    """Spelling, case, dots and blanks do not matter."""
    assert read(f"{title},Product Name,Input Image Urls\n7,x,\n").columns.serial == 0


@pytest.mark.feature("2")
@pytest.mark.parametrize("title", NAMES)
def test_every_name_header_in_use_is_known(title: str) -> None:
    """The name column is found under each of its names."""
    assert read(f"x,{title},Input Image Urls\n7,x,\n").columns.name == 1


@pytest.mark.feature("2")
@pytest.mark.parametrize("title", URLS)
def test_every_url_header_in_use_is_known(title: str) -> None:
    """The URL column is found under each of its names."""
    assert read(f"S. No.,Product Name,{title}\n7,x,\n").columns.urls == (2,)


@pytest.mark.parametrize("title", OUTPUTS)
def test_an_output_column_is_recognised(title: str) -> None:
    """A sheet that has been through such a service before is not given a second output column."""
    columns = read(f"{HEADER},{title},Image Errors\n7,x,,,\n").columns
    assert (columns.output, columns.errors) == (3, 4)


@pytest.mark.fault("F6")
def test_a_weaker_name_is_an_extra_column_beside_a_stronger_one() -> None:
    """A SKU beside the product name is not ambiguous."""
    assert read("SKU,Product Name,Input Image Urls,Image\n7,x,,y\n").columns.name == 1


@pytest.mark.feature("3")
@pytest.mark.fault("F13")
@pytest.mark.parametrize("separator", [", ", ",", ";", "; ", "|", " | ", " ", "\n", ",\n", "\r\n", " ,, "])
def test_cells_are_split_only_where_a_url_begins(separator: str) -> None:
    """Commas, semicolons and bars inside URLs are safe with every separator in use."""
    assert urls_of(f" {THUMBOR}{separator}{CLOUDINARY}, ") == (THUMBOR, CLOUDINARY)


@pytest.mark.feature("3")
@given(st.lists(st.sampled_from([THUMBOR, CLOUDINARY, "http://x/y", "HTTPS://Z/q?a=1,2"]), max_size=8))
def test_splitting_is_the_inverse_of_joining(links: list[str]) -> None:
    """Whatever URLs a cell holds come out again, in order."""
    assert urls_of(", ".join(links)) == tuple(links)


@pytest.mark.fault("F9")
@given(st.binary(max_size=300))
def test_any_bytes_are_a_sheet_or_a_list_of_problems(body: bytes) -> None:
    """No input makes the parser crash."""
    with suppress(SheetError):
        read_sheet(body, LIMITS)


@pytest.mark.fault("F12")
@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\x00\r\n", codec="utf-8"), max_size=30), min_size=1))
def test_cells_are_kept_verbatim(names: list[str]) -> None:
    """Quotes, commas, emoji and spaces in any cell come out as they went in."""
    lines = ['"' + name.replace('"', '""') + '",,x' for name in names]
    sheet = read("Product Name,Input Image Urls,Extra\n" + "\n".join(lines) + "\n")
    assert [row.cells[0] for row in sheet.rows] == names


def test_a_byte_order_mark_is_no_part_of_the_header() -> None:
    """UTF-8 with BOM and CRLF, as Excel writes it, reads like any other."""
    sheet = read(b"\xef\xbb\xbf" + f"{HEADER}\r\n1,x,http://a/b\r\n".encode())
    assert (sheet.header[0], sheet.dialect.bom, next(iter(sheet.rows)).urls) == ("S. No.", True, ("http://a/b",))


def test_blank_rows_keep_their_place() -> None:
    """Rows are numbered as a spreadsheet numbers them, blank lines and line breaks in cells included."""
    sheet = read(f'{HEADER}\n1,"two\nlines",http://a/b\n\n,,\n4,x,http://c/d\n')
    assert [(row.number, len(row.urls), len(row.cells)) for row in sheet.rows] == [
        (2, 1, 3),
        (3, 0, 3),
        (4, 0, 3),
        (5, 1, 3),
    ]


def test_a_row_without_urls_is_a_warning() -> None:
    """An empty URL cell is kept and told."""
    warnings = read(f"{HEADER}\n1,x,\n").warnings
    assert [(w.row, w.code.value) for w in warnings.listed] == [(2, "NO_URLS")]


def test_a_url_that_may_have_been_cut_is_a_warning() -> None:
    """A list of URLs in a query can be read in two ways; the reading is told."""
    sheet = read(f'{HEADER}\n1,x,"https://a/?u=https://b,https://c"\n')
    assert [w.code.value for w in sheet.warnings.listed] == ["AMBIGUOUS_URLS"]


@pytest.mark.feature("6")
@pytest.mark.fault("B9", "F4", "F7", "F14")
def test_five_different_faults_are_told_at_once() -> None:
    """Each with its row, its column and its code."""
    text = f"{HEADER}\nhttp://a/b,a\n2,b,ftp://x/y\n3,c,http://u:p@h/\n4,d,e,f\n5,n\x00l,http://ok/\n"
    assert problems(text) == [
        (2, "Input Image Urls", "SHORT_ROW"),
        (3, "Input Image Urls", "URL_INVALID"),
        (4, "Input Image Urls", "URL_FORBIDDEN"),
        (5, None, "LONG_ROW"),
        (6, "Product Name", "NUL_CHARACTER"),
    ]


@pytest.mark.feature("6")
def test_the_first_thousand_problems_are_listed_and_all_are_counted() -> None:
    """A sheet that is wrong everywhere does not make an endless answer."""
    with pytest.raises(SheetError) as caught:
        read(HEADER + "\n" + "1,x,nonsense\n" * 1500, max_rows=2000, max_images=2000)
    told = caught.value.problems.to_json()
    assert (len(told["problems"]), told["problem_count"], told["problems_listed"]) == (1000, 1500, 1000)


@pytest.mark.fault("B9", "F3", "F5", "F6", "F8", "F9", "F10", "F13")
@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", "SHEET_EMPTY", id="empty"),
        pytest.param(b" \r\n \n", "SHEET_EMPTY", id="only blanks"),
        pytest.param(b"\xef\xbb\xbf", "SHEET_EMPTY", id="only a byte order mark"),
        pytest.param(f"{HEADER}\n".encode(), "NO_ROWS", id="header only"),
        pytest.param(b"\x89PNG\r\n\x1a\n1234", "NOT_A_CSV", id="PNG"),
        pytest.param(b"PK\x03\x04abc", "NOT_A_CSV", id="xlsx"),
        pytest.param(b"<!DOCTYPE html><html>", "NOT_A_CSV", id="HTML"),
        pytest.param(b'{"a": 1}', "NOT_A_CSV", id="JSON"),
        pytest.param(b"%PDF-1.7 x", "NOT_A_CSV", id="PDF"),
        pytest.param(f"{HEADER}\n1,x,\n".encode("utf-32"), "SHEET_ENCODING", id="UTF-32"),
        pytest.param(f"{HEADER}\n1,x,\n".encode("utf-16") + b"\0", "SHEET_ENCODING", id="UTF-16 cut in half"),
        pytest.param(HEADER.encode() + b"\n1,\xe9\x81,\n", "SHEET_ENCODING", id="neither UTF-8 nor Windows-1252"),
        pytest.param(f"{HEADER}\n1,\u00fcbel,\n2,".encode() + b"\xff,\n", "SHEET_ENCODING", id="damaged UTF-8"),
        pytest.param(HEADER.encode() + b"\n1,\xed\xa0\x80,\n", "SHEET_ENCODING", id="lone surrogate"),
        pytest.param(f'{HEADER}\n1,"x,\n2,y,\n'.encode(), "CSV_SYNTAX", id="unclosed quote"),
        pytest.param(f'{HEADER}\n1,"x"y,\n'.encode(), "CSV_SYNTAX", id="text behind a quote"),
        pytest.param(f"{HEADER}\n1,{'x' * 131_073},\n".encode(), "FIELD_TOO_LONG", id="long field"),
        pytest.param(f"{HEADER}\n{',' * 1_048_577}\n".encode(), "ROW_TOO_LONG", id="endless row"),
        pytest.param(f"{HEADER}\n".encode() + b'"\n",' * 262_145, "ROW_TOO_LONG", id="endless row of many lines"),
        pytest.param(f"|Name|Images|\n|{'-' * 1_048_577}|\n".encode(), "ROW_TOO_LONG", id="endless row of a table"),
        pytest.param(b"," * 1_048_577, "ROW_TOO_LONG", id="endless header"),
        pytest.param(b"S. No.,Product Name\n1,x\n", "MISSING_COLUMN", id="no column of pictures"),
        pytest.param(b"1,Lamp,http://a/b.jpg\n2,Desk,http://a/c.jpg\n", "MISSING_COLUMN", id="no titles"),
        pytest.param(b"Name,Permalink\nx,https://shop.example/p/x\n", "MISSING_COLUMN", id="only pages"),
        pytest.param(b"a;b;c\n1;2;3\n", "MISSING_COLUMN", id="other delimiter"),
        pytest.param(b",".join([b"x"] * 201) + b"\n", "TOO_MANY_COLUMNS", id="columns"),
        pytest.param(f"{HEADER}\n1,x,{'http://a/b ' * 101}\n".encode(), "TOO_MANY_URLS", id="URLs in a cell"),
        pytest.param(f"{HEADER}\n1,x,a.jpg\n".encode(), "URL_INVALID", id="no scheme"),
        pytest.param(f"{HEADER}\n1,x,http://a b/c.jpg\n".encode(), "URL_INVALID", id="blank in a host"),
        pytest.param(f"{HEADER}\n1,x,http://a/{'b' * 2083}\n".encode(), "URL_INVALID", id="long URL"),
        pytest.param(f"{HEADER}\n1,x,data:image/png;base64,AAAA\n".encode(), "LONG_ROW", id="data URL unquoted"),
    ],
)
def test_a_bad_sheet_is_refused_with_its_reason(body: bytes, code: str) -> None:
    """Nothing is guessed: the first problem names what is wrong."""
    assert problems(body)[0][2] == code


@pytest.mark.fault("F14")
@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "http:///x",
        "http://a:99999/",
        "http://[::1/",
        "http:a",
        "//a/b",
        "x",
    ],
)
def test_a_url_of_another_form_is_invalid(url: str) -> None:
    """Only http and https with a host pass."""
    fault = link_fault(url)
    assert fault is not None


@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    "url", ["http://a/b", "HTTPS://Ex.example:8443/ü?x=%20#f", "http://xn--bcher-kva.example", "http://[::1]/"]
)
def test_a_url_of_good_form_passes(url: str) -> None:
    """Addresses are judged when they are dialled, not here."""
    assert link_fault(url) is None


@pytest.mark.fault("F13")
@pytest.mark.parametrize(
    ("written", "urls"),
    [
        ("http://a/my photo.jpg", ("http://a/my%20photo.jpg",)),
        ("http://a/my photo.jpg, http://b/c d.jpg", ("http://a/my%20photo.jpg", "http://b/c%20d.jpg")),
        ("http://b\u00fccher.example/\u6625.jpg", ("http://b\u00fccher.example/\u6625.jpg",)),
        ("http://a/\u0634?\u0642=\u05d0", ("http://a/\u0634?\u0642=\u05d0",)),
        ("http://a/" + "x" * (2083 - 9), ("http://a/" + "x" * (2083 - 9),)),
        ("http://a/b http://a/b", ("http://a/b", "http://a/b")),
    ],
    ids=["blank", "two with blanks", "host and path", "other way round", "longest", "twice"],
)
def test_urls_with_blanks_of_any_script_and_long_ones_are_read(written: str, urls: tuple[str, ...]) -> None:
    """One URL stays one, and equal ones keep their slots."""
    assert urls_of(written) == urls


@pytest.mark.fault("F2")
@pytest.mark.parametrize(
    ("limits", "code"),
    [({"max_rows": 1}, "TOO_MANY_ROWS"), ({"max_images": 1}, "TOO_MANY_IMAGES"), ({"max_bytes": 9}, "SHEET_TOO_LARGE")],
)
def test_a_limit_passed_by_one_is_told(limits: dict[str, int], code: str) -> None:
    """The limit and the value are in the message."""
    assert problems(f"{HEADER}\n1,x,http://a/\n2,y,http://b/\n", **limits)[0][2] == code


@pytest.mark.feature("2")
@pytest.mark.fault("F6")
def test_a_missing_column_is_told_with_the_headers_found_and_the_nearest() -> None:
    """The sender sees what to rename."""
    with pytest.raises(SheetError) as caught:
        read("S. No.,Product Name,Pictrues\n1,x,\n")
    message = caught.value.problems.listed[0].message
    assert "'Pictrues'" in message
    assert "Did you mean" in message
