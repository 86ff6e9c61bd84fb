"""report.html: one page for people, harmless whatever the sheet holds, and small for a batch of any size."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from typing import Any
from uuid import uuid4

import pytest

from reporter.reports import page as module
from reporter.reports.export_reader import read_export
from reporter.reports.page import ReportPage
from support.reporter_service import World, export, failed_image, image, row


def page_of(rows: list[dict[str, Any]], **batch: Any) -> str:
    """Return the page of a batch."""
    batch_record, read = read_export(iter(export(str(uuid4()), rows, **batch).split(b"\n")[:-1]))
    page, out = ReportPage(batch_record), io.BytesIO()
    for record in read:
        page.write(record)
    page.save(out)
    return out.getvalue().decode()


class Elements(HTMLParser):
    """The names of all elements of a page, and what its links lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element; none has code or loads something."""
        self.names.add(tag)
        assert not {name for name, _value in attrs} & {"src", "srcset", "data", "action"}
        assert not [name for name, _value in attrs if name.startswith("on")]
        self.links += [value or "" for name, value in attrs if name == "href"]


def words(html: str) -> str:
    """Return the text of a page in one line."""
    return " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL).split())


@pytest.mark.feature("52")
def test_the_page_tells_what_was_saved_and_what_failed() -> None:
    """By batch, by host, by code, and the rows with failures."""
    rows = [
        row(2, [image(0, input_url="https://a.test/1.jpg", bytes_in=3_000_000, bytes_out=1_000_000)]),
        row(3, [failed_image(0, input_url="https://b.test/2.jpg", code="HTTP_404", detail="not found")]),
    ]

    told = words(page_of(rows, source_name="spring.csv"))

    assert "spring.csv" in told
    assert "Saved 2.0 MB Saved, percent 66.7 %" in told
    assert "a.test 1 0 3.0 MB 1.0 MB 66.7 %" in told
    assert "HTTP_404 b.test 1" in told
    assert re.search(r"3 \S+ .*HTTP_404 not found https://b.test/2.jpg", told)


def test_what_a_sheet_holds_is_text_and_no_markup() -> None:
    """Names, links and details; only http links can be followed, and nothing is loaded."""
    evil = "<script>alert(1)</script>\"'><img src=https://x.test/y>"
    rows = [
        row(
            2,
            [
                failed_image(0, input_url="javascript:alert(1)", detail=evil),
                failed_image(1, input_url=f"https://x/{evil}"),
            ],
            product_name=evil,
            serial=evil,
        )
    ]

    html = page_of(rows, source_name=evil)

    found = Elements()
    found.feed(html)
    assert found.names == {
        *[
            "html",
            "head",
            "meta",
            "title",
            "style",
            "body",
            "h1",
            "h2",
            "p",
            "dl",
            "div",
            "dt",
            "dd",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "a",
            "span",
        ]
    }
    assert found.links == [f"https://x/{evil}"]
    assert re.findall(r"url\(|@import", html) == []


def test_the_page_of_a_large_batch_names_the_first_rows_and_counts_the_others() -> None:
    """Nothing of it grows with the batch."""
    count = module.MAX_PAGE_ROWS + 3
    rows = [row(n + 2, [failed_image(0, input_url=f"https://h{n}.test/1.jpg")]) for n in range(count)]

    told = words(page_of(rows))

    assert "and 3 more rows; failed.csv has all of them" in told
    assert f"and {count - module.MAX_PAGE_GROUPS} more hosts" in told


def test_the_page_is_shown_and_not_saved_and_may_do_nothing(world: World) -> None:
    """Under a link of its own; in a sandbox without scripts."""
    request_id = str(uuid4())
    world.publish(export(request_id, [row(2, [image(0)])], source_name="spring.csv"), request_id=request_id)
    links = world.client.get("/download_csv", query_string={"request_id": request_id}).get_json()

    answer = world.follow(links["report_url"])

    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert answer.headers["Content-Disposition"].startswith('inline; filename="spring-report.html"')
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")


def test_a_report_of_the_release_before_has_no_page(world: World) -> None:
    """No link, and 404 for whoever makes one."""
    request_id = str(uuid4())
    world.publish(export(request_id, [row(2, [image(0)])]), request_id=request_id)
    with world.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE reports SET report_html = NULL")
    links = world.client.get("/download_csv", query_string={"request_id": request_id}).get_json()

    assert links["report_url"] is None
    made_up = world.follow(links["download_url"].replace("output.csv", "report.html"))
    assert (made_up.status_code, made_up.get_json()["error"]["details"][0]["reason"]) == (404, "REPORT_NOT_FOUND")


def test_hosts_beyond_the_counted_ones_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host for each image would take memory without end; nothing is left out of the sums."""
    monkeypatch.setattr(module, "MAX_COUNTED_HOSTS", 2)
    hosts = ("a.test", "b.test", "c.test", "d.test", "a.test")
    rows = [row(n, [failed_image(0, input_url=f"https://{host}/1.jpg")]) for n, host in enumerate(hosts, start=2)]

    told = words(page_of(rows))

    assert "a.test 2 2" in told
    assert "b.test 1 1" in told
    assert "other hosts 2 2" in told
    assert "HTTP_4XX other hosts 2" in told
    assert "c.test 1" not in told
