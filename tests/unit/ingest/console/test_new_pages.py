"""A new batch from a page: the same sheets, checks and batches as by the JSON routes."""

from __future__ import annotations

import html
import io
import re
from typing import Any

import pytest
from werkzeug.test import TestResponse

from support.console_browser import Browser
from support.console_site import HOSTILE_NAME
from support.ingest_service import Lab, MakeLab, sheet_of
from support.scripted_origin import ScriptedOrigin, answer

GOOD = sheet_of("https://a.test/1.jpg, https://b.test/2.jpg", "https://a.test/3.jpg")
BAD = sheet_of("https://a.test/1.jpg", "no link", "https://a.test/3.jpg")


def send(lab: Lab, sheet: str | bytes, **fields: Any) -> TestResponse:
    content = sheet.encode() if isinstance(sheet, str) else sheet
    return Browser(lab).post("/console/new", file=(io.BytesIO(content), "shop.csv"), **fields)


def hidden(page: TestResponse, name: str) -> str:
    """Return the value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text)
    assert found is not None, name
    return html.unescape(found[1])


def batch_of(lab: Lab, started: TestResponse) -> dict[str, Any]:
    """Return the batch that a form has started."""
    assert started.status_code == 303, started.text
    return lab.status(str(started.location).rpartition("/")[2].partition("?")[0])


def test_a_check_shows_rows_and_each_link_and_stores_nothing(lab: Lab) -> None:
    page = send(lab, GOOD, do="check")

    assert page.status_code == 200
    assert page.text.count('class="chip"') == 3
    assert "3 images" in page.text
    assert lab.get("/requests").json["requests"] == []


def test_a_start_makes_a_batch_with_the_options_of_the_preset(lab: Lab) -> None:
    started = batch_of(lab, send(lab, GOOD, do="start", preset="web", max_width="800", fresh="1"))

    assert started["source_name"] == "shop.csv"
    assert started["counts"]["total"] == 3
    assert {name: started["options"][name] for name in ("format", "quality", "max_width")} == {
        "format": "webp",
        "quality": 75,
        "max_width": 800,
    }
    assert lab.batch_row(started["request_id"])["fresh"] is True


def test_pressing_start_twice_makes_one_batch(lab: Lab) -> None:
    first, second = (send(lab, GOOD, do="start", key="k-1") for _ in range(2))

    assert first.location == second.location
    assert len(lab.get("/requests").json["requests"]) == 1


def test_a_checked_sheet_is_carried_along_where_no_script_keeps_it(lab: Lab) -> None:
    checked = send(lab, GOOD, do="check")

    started = Browser(lab).post(
        "/console/new", do="start", held=hidden(checked, "held"), held_name=hidden(checked, "held_name")
    )

    assert batch_of(lab, started)["source_name"] == "shop.csv"


def test_pasted_rows_are_a_sheet(lab: Lab) -> None:
    pasted = Browser(lab).post("/console/new", do="start", csv_text="Product\tImages\nLamp\thttps://a.test/1.jpg\n")

    assert batch_of(lab, pasted)["counts"]["total"] == 1


def test_bad_rows_are_told_by_code_and_not_started(lab: Lab) -> None:
    page = send(lab, BAD, do="start")

    assert page.status_code == 400
    assert "URL_INVALID" in page.text
    assert "Skip these 1 rows and run the other 2" in page.text
    assert lab.get("/requests").json["requests"] == []


def test_bad_rows_can_be_skipped(lab: Lab) -> None:
    started = batch_of(lab, send(lab, BAD, do="skip"))

    assert (started["counts"]["total"], started["invalid_rows"]) == (2, 1)


def test_the_sheet_comes_back_with_a_column_of_its_problems(lab: Lab) -> None:
    corrected = send(lab, BAD, do="corrected")

    assert corrected.mimetype == "text/csv"
    assert "URL_INVALID" in corrected.text


def test_a_sheet_whose_columns_cannot_be_told_is_shown_so_that_one_can_be_chosen(lab: Lab) -> None:
    sheet = "Alpha,Beta\nx,https://a.test/files?id=1\n"

    asked = send(lab, "Alpha,Beta\n1,2\n", do="check")
    chosen = send(lab, sheet, do="start", columns_shown='{"urls": [], "name": [], "serial": []}', urls="Beta")

    assert "MISSING_COLUMN" in asked.text
    assert "<option>Beta</option>" in asked.text
    assert batch_of(lab, chosen)["counts"]["total"] == 1


def test_columns_that_were_found_are_chosen_by_nobody(lab: Lab) -> None:
    """Else the reasons of the next check would be that the person has said so."""
    sheet = "Title,Picture,Other picture\nLamp,https://a.test/1.jpg,https://a.test/2.jpg\n"
    checked = send(lab, sheet, do="check")
    shown = hidden(checked, "columns_shown")
    urls = re.findall(r'name="urls" value="([^"]+)" checked', checked.text)

    same = send(lab, sheet, do="check", columns_shown=shown, urls=urls, name="Title")
    other = send(lab, sheet, do="check", columns_shown=shown, urls="Other picture", name="Title")

    assert hidden(same, "columns_chosen") == ""
    assert hidden(other, "columns_chosen") == "1"
    assert "/2.jpg" in other.text
    assert "/1.jpg" not in other.text


@pytest.mark.parametrize(
    ("fields", "sheet"),
    [
        ({"encoding": "windows-1251"}, "Название,Картинка\nЛампа,https://a.test/1.jpg\n".encode("cp1251")),
        ({"delimiter": "|"}, b"Product Name|Images\nLamp, big; red|https://a.test/1.jpg\n"),
    ],
)
def test_encoding_and_delimiter_can_be_chosen(lab: Lab, fields: dict[str, str], sheet: bytes) -> None:
    page = send(lab, sheet, do="check", **fields)

    assert "Лампа" in page.text or "Lamp, big; red" in page.text
    assert "1 images" in page.text


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"quality": "200"}, "less than or equal to 95"),
        ({"webhook_url": "ftp://a.test"}, "webhook_url"),
        ({"background": "red"}, "background"),
        ({"nothing": "1"}, "nothing"),
        ({"held": "%%%"}, None),
    ],
)
def test_a_bad_field_is_told_on_the_page(lab: Lab, fields: dict[str, str], told: str | None) -> None:
    page = send(lab, GOOD, do="start", **fields)

    if told is None:
        assert page.status_code == 303  # the file counts, not what was carried along
    else:
        assert page.status_code == 400
        assert told in page.text
        assert "FIELD_INVALID" in page.text


def test_without_a_sheet_the_page_says_so(lab: Lab) -> None:
    page = Browser(lab).post("/console/new", do="start")

    assert page.status_code == 400
    assert "There is no sheet yet" in page.text


def test_names_of_a_sheet_stay_text(lab: Lab) -> None:
    page = send(
        lab, f'Name,Images\n"{HOSTILE_NAME.replace(chr(34), chr(34) * 2)}",https://a.test/<b>.jpg\n', do="check"
    )

    assert "<script>document" not in page.text
    assert "&lt;script&gt;document" in page.text


def test_options_of_another_batch_are_filled_in(lab: Lab) -> None:
    first = send(lab, GOOD, do="start", quality="33")
    request_id = str(first.location).rpartition("/")[2].partition("?")[0]

    page = Browser(lab).get(f"/console/new?like={request_id}")

    assert 'name="quality" type="number" min="1" max="95" placeholder="as the preset" value="33"' in page.text


def test_the_page_says_what_a_sheet_is_and_what_is_smaller(lab: Lab) -> None:
    page = Browser(lab).get("/console/new").text

    assert "export of any shop" in page
    assert "may become larger as JPEG" in page
    assert "Take the sample sheet" not in page


def test_the_sample_sheet_is_one_press_away(make_lab: MakeLab) -> None:
    with ScriptedOrigin() as origin:
        origin.on("/catalogue.csv", answer(GOOD.encode()))
        lab = make_lab(INGEST_SAMPLE_SHEET_URL=origin.url("/catalogue.csv"))
        browser = Browser(lab)

        offered = browser.get("/console/new").text
        checked = browser.post("/console/new", sample="1")

    assert "Take the sample sheet" in offered
    assert "3 images" in checked.text
    assert hidden(checked, "held_name") == "sample.csv"


def test_a_sample_sheet_that_is_away_is_told(make_lab: MakeLab, unused_port: int) -> None:
    lab = make_lab(INGEST_SAMPLE_SHEET_URL=f"http://127.0.0.1:{unused_port}/catalogue.csv")

    page = Browser(lab).post("/console/new", sample="1")

    assert page.status_code == 503
    assert "try again in some seconds" in page.text
