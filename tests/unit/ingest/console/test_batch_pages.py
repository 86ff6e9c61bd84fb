"""The list of batches, and the pages of one."""

from __future__ import annotations

import re
import uuid

import pytest

from support.console_browser import Browser
from support.console_site import HOSTILE_NAME, Story, play
from support.ingest_service import Lab, sheet_of

DONE = Story("done.csv", 3, failed=0.4)


def test_browsers_are_led_to_the_console_and_programs_are_not(lab: Lab) -> None:
    browser = lab.client().get("/", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    program = lab.client().get("/", headers={"Accept": "*/*"})

    assert (browser.status_code, browser.location) == (303, "/console/")
    assert program.get_json()["console"] == "/console/"


def test_an_empty_list_says_how_to_begin(lab: Lab) -> None:
    page = Browser(lab).get("/console/batches").text

    assert "No batch yet" in page
    assert "curl -F file=@sheet.csv http://ingest.test/upload" in page
    assert "sample.csv" in page


def test_the_filter_is_in_the_url(lab: Lab) -> None:
    play(lab, DONE)
    lab.submit("https://a.test/1.jpg")
    browser = Browser(lab)

    assert "done.csv" in browser.get("/console/batches").text
    assert "done.csv" not in browser.get("/console/batches?status=PENDING").text
    assert "done.csv" in browser.get("/console/batches?status=COMPLETED_WITH_ERRORS").text


def test_more_batches_than_a_page_are_behind_a_link(lab: Lab) -> None:
    for _ in range(51):
        lab.submit("https://a.test/1.jpg")
    browser = Browser(lab)

    first = browser.get("/console/batches").text
    (older,) = re.findall(r'href="(/console/batches\?page_token=[^"]+)"', first)
    second = browser.get(older).text

    assert first.count('id="batch-') == 50
    assert second.count('id="batch-') == 1


@pytest.mark.parametrize("tab", ["images", "problems", "hosts", "options", "downloads"])
def test_each_tab_has_a_link(lab: Lab, tab: str) -> None:
    request_id = play(lab, DONE)

    answer = Browser(lab).get(f"/console/batches/{request_id}?tab={tab}")

    assert answer.status_code == 200
    assert f'?tab={tab}" aria-current="page"' in answer.text or tab == "images"


def test_the_text_of_a_sheet_stays_text(lab: Lab) -> None:
    request_id = play(lab, DONE)

    page = Browser(lab).get(f"/console/batches/{request_id}").text

    assert HOSTILE_NAME not in page
    assert "&lt;script&gt;document.title=" in page


def test_a_batch_says_what_it_was_expected_to_take_until_it_has_ended(lab: Lab) -> None:
    running, ended = lab.submit("https://a.test/1.jpg"), play(lab, DONE)

    pages = [Browser(lab).get(f"/console/batches/{request_id}").text for request_id in (running, ended)]

    assert ["Expected in all" in page for page in pages] == [True, False]
    assert "Assumed: an image has 500,000 bytes" in pages[0]


def test_a_piece_of_a_page_is_sent_when_it_has_changed(lab: Lab) -> None:
    request_id = play(lab, DONE)
    browser, path = Browser(lab), f"/console/batches/{request_id}/live"

    first = browser.get(path)
    again = browser.get(path, **{"If-None-Match": first.headers["ETag"]})

    assert first.headers["X-Console-Final"] == "1"
    assert again.status_code == 304
    assert again.text == ""


def test_cancel_asks_once_and_says_what_is_kept(lab: Lab) -> None:
    request_id = lab.submit("https://a.test/1.jpg")
    browser = Browser(lab)

    asked = browser.get(f"/console/batches/{request_id}/cancel").text
    done = browser.post(f"/console/batches/{request_id}/cancel")

    assert "Kept:" in asked
    assert done.location == f"/console/batches/{request_id}?done=cancelled"
    assert "being cancelled" in browser.get(done.location).text


def test_retry_brings_failed_images_back(lab: Lab) -> None:
    request_id = play(lab, Story("broken.csv", 1, failed=1.0))
    browser = Browser(lab)

    answer = browser.post(f"/console/batches/{request_id}/retry")

    assert "tried again" in browser.get(str(answer.location)).text
    assert lab.status(request_id)["counts"]["pending"] == 2


@pytest.mark.parametrize(
    ("path", "code", "reason"),
    [
        (f"/console/batches/{uuid.UUID(int=1)}", 404, "BATCH_NOT_FOUND"),
        ("/console/nothing", 404, "ROUTE_NOT_FOUND"),
        ("/console/batches/no-id", 404, "ROUTE_NOT_FOUND"),
        ("/console/static/secret.txt", 404, "ROUTE_NOT_FOUND"),
        ("/console/batches?status=GONE", 400, "FIELD_INVALID"),
        ("/console/batches?page_token=x", 400, "PAGE_TOKEN_INVALID"),
        ("/console/batches?nothing=1", 400, "FIELD_INVALID"),
    ],
)
def test_an_error_is_a_page_with_its_reason_and_the_id_of_the_request(
    lab: Lab, path: str, code: int, reason: str
) -> None:
    answer = Browser(lab).get(path, **{"X-Request-Id": "walk-7"})

    assert answer.status_code == code
    assert f"{code} {reason}" in answer.text
    assert "walk-7" in answer.text
    assert answer.mimetype == "text/html"


def test_a_retry_that_is_refused_is_a_page_too(lab: Lab) -> None:
    request_id = lab.upload(sheet_of("https://a.test/1.jpg")).json["request_id"]

    answer = Browser(lab).post(f"/console/batches/{request_id}/retry")

    assert answer.status_code == 400
    assert "BATCH_NOT_FINISHED" in answer.text


@pytest.mark.parametrize("path", ["/console/batches", "/console/login", "/console/nothing"])
def test_every_page_has_a_policy_that_lets_nothing_foreign_in(lab: Lab, path: str) -> None:
    policy = Browser(lab).get(path).headers.get("Content-Security-Policy", "")

    if path != "/console/login":  # without keys it leads on
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "unsafe" not in policy


def test_static_files_may_be_cached_because_their_urls_change_with_them(lab: Lab) -> None:
    browser = Browser(lab)
    page = browser.get("/console/batches").text

    (url,) = re.findall(r'<script src="([^"]+)"', page)
    answer = browser.get(url)

    assert re.search(r"\?v=[0-9a-f]{12}$", url)
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert len(answer.text.splitlines()) < 400


def test_images_are_filtered_over_the_whole_batch(lab: Lab) -> None:
    request_id = play(lab, Story("many.csv", 60, failed=0.2))
    failed = lab.status(request_id)["counts"]["failed"]
    browser, page = Browser(lab), f"/console/batches/{request_id}"

    all_of_them = browser.get(page).text
    filtered = browser.get(f"{page}?status=FAILED").text
    nothing = browser.get(f"{page}?q=no-such-text").text

    assert all_of_them.count('class="what"') == 50
    assert "Load more" in all_of_them
    assert filtered.count('class="what"') == failed
    assert "Nothing fits this filter" in nothing


def test_problems_are_counted_by_code_and_host(lab: Lab) -> None:
    request_id = play(lab, Story("many.csv", 30, failed=0.5))

    page = Browser(lab).get(f"/console/batches/{request_id}?tab=problems").text

    assert "HTTP_4XX" in page
    assert f"/console/batches/{request_id}?status=FAILED&amp;code=HTTP_4XX&amp;host=cdn.northwind.example" in page


def test_a_download_leads_to_a_link_that_is_made_now(lab: Lab) -> None:
    request_id = play(lab, DONE)
    browser, page = Browser(lab), f"/console/batches/{request_id}/download"

    answer = browser.get(f"{page}/failed.csv")

    link = str(answer.location)
    assert answer.status_code == 303
    assert link.startswith("https://reporter.test/")
    assert "/failed.csv" in link
    assert browser.get(f"{page}/output.xlsx").status_code == 404


def test_there_is_no_download_before_the_end(lab: Lab) -> None:
    request_id = lab.submit("https://a.test/1.jpg")

    answer = Browser(lab).get(f"/console/batches/{request_id}/download/output.csv")

    assert answer.status_code == 404
    assert "REPORT_FILE_NOT_FOUND" in answer.text
