"""Sheets as people really write them, each with the rows it means and the warnings it deserves.

A row is (number, serial, name, urls). A, B and C are the same three links everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

A = "https://cdn.example/a.jpg"
B = "https://cdn.example/b.jpg?v=1,2"
C = "https://c.example/c_fit,f_auto/c.jpg"
HEADER = "S. No.,Product Name,Input Image Urls"

Row = tuple[int, str, str, tuple[str, ...]]
Warned = tuple[int | None, str]

LAMP: Row = (2, "1", "Café lamp", (A, B))
CHAIR: Row = (3, "2.", "Größe; 10 €", (C,))
DESK: Row = (4, "P003", 'Desk, "oak"', (A,))
ROWS = (LAMP, CHAIR, DESK)


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to write a sheet."""

    name: str
    body: bytes
    rows: tuple[Row, ...]
    encoding: str = "utf-8"
    delimiter: str = ","
    layout: str = "csv"
    warnings: tuple[Warned, ...] = ()


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def three_rows(delimiter: str, end: str = "\r\n", separator: str = ", ") -> str:
    """Return the same three rows in CSV of another delimiter, line end and separator of URLs."""
    lines = [delimiter.join(["S. No.", "Product Name", "Input Image Urls"])]
    lines += [delimiter.join([serial, _quoted(name), _quoted(separator.join(urls))]) for _, serial, name, urls in ROWS]
    return end.join(lines) + end


_COMMA, _SEMICOLON, _TAB, _BAR = (three_rows(delimiter) for delimiter in ",;\t|")
_ASSUMED: Warned = (None, "ENCODING_ASSUMED")

SAVED: tuple[Dialect, ...] = (
    Dialect("UTF-8", _COMMA.encode(), ROWS),
    Dialect("UTF-8 with mark, as Excel saves CSV UTF-8", _COMMA.encode("utf-8-sig"), ROWS),
    Dialect("UTF-8 with line feeds", three_rows(",", "\n").encode(), ROWS),
    Dialect("UTF-8 with carriage returns, as old Macs wrote", three_rows(",", "\r").encode(), ROWS),
    Dialect("UTF-8, semicolons", _SEMICOLON.encode(), ROWS, delimiter=";"),
    Dialect("UTF-8 with mark, semicolons", _SEMICOLON.encode("utf-8-sig"), ROWS, delimiter=";"),
    Dialect("UTF-8, tabs", _TAB.encode(), ROWS, delimiter="\t"),
    Dialect("UTF-8, bars", _BAR.encode(), ROWS, delimiter="|"),
    Dialect("UTF-16, Excel's Unicode text", _TAB.encode("utf-16"), ROWS, "utf-16-le", "\t"),
    Dialect("UTF-16 little end first, commas", b"\xff\xfe" + _COMMA.encode("utf-16-le"), ROWS, "utf-16-le"),
    Dialect("UTF-16 big end first", b"\xfe\xff" + _SEMICOLON.encode("utf-16-be"), ROWS, "utf-16-be", ";"),
    Dialect("UTF-16 little end first without mark", _COMMA.encode("utf-16-le"), ROWS, "utf-16-le"),
    Dialect("UTF-16 big end first without mark", _TAB.encode("utf-16-be"), ROWS, "utf-16-be", "\t"),
    Dialect("Windows-1252, commas", _COMMA.encode("cp1252"), ROWS, "windows-1252", warnings=(_ASSUMED,)),
    Dialect(
        "Windows-1252, semicolons, as Excel saves in Germany",
        _SEMICOLON.encode("cp1252"),
        ROWS,
        "windows-1252",
        ";",
        warnings=(_ASSUMED,),
    ),
    Dialect("with Excel's line that states the delimiter", b"sep=;\r\n" + _SEMICOLON.encode(), ROWS, delimiter=";"),
    Dialect("URLs parted by line breaks", three_rows(",", separator=",\n").encode(), ROWS),
    Dialect("URLs parted by semicolons", three_rows(",", separator=";").encode(), ROWS),
    Dialect(
        "URLs parted by bars in a sheet of semicolons", three_rows(";", separator="|").encode(), ROWS, delimiter=";"
    ),
    Dialect("URLs parted by blanks", three_rows(",", separator=" ").encode(), ROWS),
)
"""The same three rows, saved differently."""


def _plain(*lines: str) -> bytes:
    return ("\n".join(lines) + "\n").encode()


ONE: Row = (2, "1", "Lamp", (A, C))
_RULE = "|---|:---:|---|"

WRITTEN: tuple[Dialect, ...] = (
    Dialect(
        "unquoted URLs in the last column",
        _plain(HEADER, f"1,Lamp,{A},{A}?2,http://x.example/3"),
        ((2, "1", "Lamp", (A, A + "?2", "http://x.example/3")),),
        warnings=((2, "SPILLED_URLS"),),
    ),
    Dialect(
        "unquoted URLs in the middle",
        _plain("Product Name,Input Image Urls,Price", f"Lamp,{A},{A}?2,9.90"),
        ((2, "", "Lamp", (A, A + "?2")),),
        warnings=((2, "SPILLED_URLS"),),
    ),
    Dialect(
        "unquoted URLs with blanks behind the commas",
        _plain(HEADER, f"1,Lamp,{A}, {A}?2"),
        ((2, "1", "Lamp", (A, A + "?2")),),
        warnings=((2, "SPILLED_URLS"),),
    ),
    Dialect(
        "unquoted URLs before empty cells",
        _plain(HEADER, f"1,Lamp,{A},{A}?2,,"),
        ((2, "1", "Lamp", (A, A + "?2")),),
        warnings=((2, "SPILLED_URLS"),),
    ),
    Dialect(
        "unquoted URLs in a sheet of semicolons",
        _plain("S. No.;Product Name;Input Image Urls", f"1;Lamp;{A};{C}"),
        (ONE,),
        delimiter=";",
        warnings=((2, "SPILLED_URLS"),),
    ),
    Dialect(
        "each line in double quotes",
        _plain(_quoted(HEADER), _quoted(f'1,Lamp,"{A},{C}"')),
        (ONE,),
        layout="quoted_lines",
        warnings=((1, "QUOTED_LINES"),),
    ),
    Dialect(
        "each line in double quotes, URLs unquoted within",
        _plain(_quoted(HEADER), _quoted(f"1,Lamp,{A},{A}?2")),
        ((2, "1", "Lamp", (A, A + "?2")),),
        layout="quoted_lines",
        warnings=((1, "QUOTED_LINES"), (2, "SPILLED_URLS")),
    ),
    Dialect(
        "only the rows in double quotes",
        _plain(HEADER, _quoted(f'1,Lamp,"{A},{C}"')),
        (ONE,),
        warnings=((2, "QUOTED_LINES"),),
    ),
    Dialect(
        "every header cell in double quotes",
        _plain('"S. No.","Product Name","Input Image Urls"', f'1,Lamp,"{A},{C}"'),
        (ONE,),
    ),
    Dialect("empty columns at the end of all lines", _plain(HEADER + ",,", f'1,Lamp,"{A},{C}",,'), (ONE,)),
    Dialect(
        "quoted empty cells behind the last column",
        _plain(HEADER, f'1,Lamp,"{A},{C}","",""', '"","","","",""'),
        (ONE, (3, "", "", ())),
        warnings=((2, "EXTRA_EMPTY_CELLS"),),
    ),
    Dialect(
        "blank lines above the header",
        _plain("", ",,", HEADER, f'1,Lamp,"{A},{C}"'),
        ((4, "1", "Lamp", (A, C)),),
    ),
    Dialect(
        "a README's table below a blank line",
        _plain("", "| Product Name | Input Image Urls |", "|--|--|", f"| Lamp | {A} |"),
        ((4, "", "Lamp", (A,)),),
        delimiter="|",
        layout="pipe_table",
        warnings=((1, "PIPE_TABLE"),),
    ),
    Dialect(
        "blank rows between and behind",
        _plain(HEADER, "", f'1,Lamp,"{A},{C}"', ",,", ""),
        (
            (2, "", "", ()),
            (3, "1", "Lamp", (A, C)),
            (4, "", "", ()),
            (5, "", "", ()),
        ),
    ),
    Dialect(
        "a README's table",
        _plain("| S. No. | Product Name | Input Image Urls |", _RULE, f"| 1 | Lamp | {A}, {C} |"),
        ((3, "1", "Lamp", (A, C)),),
        delimiter="|",
        layout="pipe_table",
        warnings=((1, "PIPE_TABLE"),),
    ),
    Dialect(
        "a README's table without outer bars",
        _plain("S. No. | Product Name | Input Image Urls", "--- | --- | ---", f"1 | Lamp | {A} {C}"),
        ((3, "1", "Lamp", (A, C)),),
        delimiter="|",
        layout="pipe_table",
        warnings=((1, "PIPE_TABLE"),),
    ),
    Dialect(
        "a README's table with a bar in a cell and no rule",
        _plain("|S. No.|Product Name|Input Image Urls|", f"|1|Lamp \\| red|{A},{C}|"),
        ((2, "1", "Lamp | red", (A, C)),),
        delimiter="|",
        layout="pipe_table",
        warnings=((1, "PIPE_TABLE"),),
    ),
    Dialect(
        "bars without blanks, as in a README's text",
        _plain("Serial Number|Product Name|Input Image Urls", f"1|Lamp|{A},{C}"),
        (ONE,),
        delimiter="|",
    ),
    Dialect(
        "serials with dots, letters, repeated and missing",
        _plain(HEADER, f"1.,a,{A}", f"P001,b,{A}", f"P001,c,{A}", f",d,{A}"),
        (
            (2, "1.", "a", (A,)),
            (3, "P001", "b", (A,)),
            (4, "P001", "c", (A,)),
            (5, "", "d", (A,)),
        ),
    ),
    Dialect("no serial column", _plain("product_name,input_image_urls", f'Lamp,"{A},{C}"'), ((2, "", "Lamp", (A, C)),)),
    Dialect("columns in another order", _plain("inputImageUrls,productName,serialNumber", f'"{A},{C}",Lamp,1'), (ONE,)),
    Dialect(
        "our own output as input",
        _plain(HEADER + ",Output Image Urls,Image Errors", f'1,Lamp,"{A},{C}","https://o/1,","|x"'),
        (ONE,),
        warnings=((2, "OUTPUT_REPLACED"),),
    ),
    Dialect(
        "Shopify's export",
        _plain("Handle,Image Src,Image Position", f"Lamp,{A},1", f",{A}?2,2"),
        (
            (2, "", "Lamp", (A,)),
            (3, "", "", (A + "?2",)),
        ),
    ),
    Dialect("WooCommerce's export", _plain("SKU,Name,Images", f'W-1,Lamp,"{A}, {C}"'), ((2, "", "Lamp", (A, C)),)),
    Dialect(
        "Merchant's feed in tabs",
        _plain("id\ttitle\timage_link", f"7\tLamp\t{A}"),
        ((2, "", "Lamp", (A,)),),
        delimiter="\t",
    ),
    Dialect("a row without URL", _plain(HEADER, "1,Lamp,"), ((2, "1", "Lamp", ()),), warnings=((2, "NO_URLS"),)),
    Dialect(
        "commas and semicolons in prices",
        _plain("Product Name;Price;Input Image Urls", f"Lamp;9,90;{A}"),
        ((2, "", "Lamp", (A,)),),
        delimiter=";",
    ),
    Dialect(
        "a list of URLs inside a query",
        _plain(HEADER, '1,Lamp,"https://a/?u=https://b,https://c"'),
        ((2, "1", "Lamp", ("https://a/?u=https://b", "https://c")),),
        warnings=((2, "AMBIGUOUS_URLS"),),
    ),
)
"""Ways to write, each with a row or two."""

REFUSED: tuple[tuple[str, bytes, str], ...] = (
    ("text behind the URLs that is none", _plain(HEADER, f"1,Lamp,{A},red"), "LONG_ROW"),
    ("a URL that is cut by its own commas", _plain(HEADER, "1,Lamp,https://t/sharpen(1,0)/x"), "LONG_ROW"),
    ("unquoted URLs before unquoted outputs", _plain(HEADER + ",Output Image Urls", f"1,Lamp,{A},{B},{A}"), "LONG_ROW"),
    ("a quoted list of URLs alone in a row", _plain(HEADER, f'"{A},{A},{A}"'), "SHORT_ROW"),
    ("an Excel workbook", b"PK\x03\x04....xl/workbook.xml....", "NOT_A_CSV"),
    ("an OpenDocument spreadsheet", b"PK\x03\x04mimetypeapplication/vnd.oasis.opendocument.spreadsheet", "NOT_A_CSV"),
    ("a page", b"\xef\xbb\xbf  <!DOCTYPE html><p>Sign in</p>", "NOT_A_CSV"),
    ("a page in UTF-16", "<html><body>Sign in please</body></html>".encode("utf-16"), "NOT_A_CSV"),
)
"""What could mean two things, or nothing: (name, bytes, code)."""
