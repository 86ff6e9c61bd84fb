"""Who may look at the console, and whose forms it takes."""

from __future__ import annotations

import re
import uuid

import pytest

from chassis.auth.api_keys import new_key
from support.console_browser import OWN_PAGE, Browser
from support.ingest_service import MakeLab, sheet_of

SHOP = new_key(owner="shop", scopes=["read", "write"], name="till")
READER = new_key(owner="shop", scopes=["read"])
KEYS = f"{SHOP.line}\n{READER.line}"
NOBODY = uuid.UUID(int=0)


@pytest.mark.threat("T10")
def test_without_a_session_every_page_leads_to_the_sign_in(make_lab: MakeLab) -> None:
    lab = make_lab(API_KEYS=KEYS)
    pages = [
        re.sub(r"<uuid:\w+>", str(NOBODY), rule.rule)
        .replace("<name>", "output.csv")
        .replace("<any(thumb, after):kind>", "thumb")
        for rule in lab.app.url_map.iter_rules()
        if rule.rule.startswith("/console") and vars(lab.app.view_functions[rule.endpoint])["needed_scope"]
        if "GET" in (rule.methods or ())
    ]

    answers = {page: Browser(lab).get(page) for page in pages}

    assert len(pages) > 3
    assert {page: answer.status_code for page, answer in answers.items()} == dict.fromkeys(pages, 303)
    assert {answer.location.partition("?")[0] for answer in answers.values() if answer.location} == {"/console/login"}


def test_the_sign_in_leads_on_to_the_page_that_was_asked_for(make_lab: MakeLab) -> None:
    browser = Browser(make_lab(API_KEYS=KEYS))

    form = browser.get("/console/login?next=/console/batches")
    signed_in = browser.post("/console/login", key=SHOP.key, next="/console/batches")

    assert 'name="next" value="/console/batches"' in form.text
    assert (signed_in.status_code, signed_in.location) == (303, "/console/batches")
    assert browser.get("/console/batches").status_code == 200


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "/upload"])
def test_the_sign_in_leads_nowhere_else(make_lab: MakeLab, elsewhere: str) -> None:
    signed_in = Browser(make_lab(API_KEYS=KEYS)).post("/console/login", key=SHOP.key, next=elsewhere)

    assert signed_in.location == "/console/"


@pytest.mark.parametrize("wrong", ["", "prk_nobody", "x" * 100_000])
def test_a_wrong_key_is_said_to_be_wrong(make_lab: MakeLab, wrong: str) -> None:
    browser = Browser(make_lab(API_KEYS=KEYS))

    answer = browser.sign_in(wrong)

    assert answer.status_code == 401
    assert "unknown or was revoked" in answer.text
    assert browser.cookie("pressroom") is None


@pytest.mark.parametrize(
    ("url", "name", "secure"),
    [("http://ingest.test", "pressroom", False), ("https://ingest.test", "__Host-pressroom", True)],
)
def test_the_cookie_is_for_this_site_only(make_lab: MakeLab, url: str, name: str, secure: bool) -> None:
    answer = Browser(make_lab(API_KEYS=KEYS, INGEST_URL=url)).sign_in(SHOP.key)

    first, *attributes = answer.headers["Set-Cookie"].split("; ")
    assert first.startswith(f"{name}=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(attributes)
    assert ("Secure" in attributes) is secure
    assert "Domain" not in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("key", "begin"), [(SHOP.key, "/console/new"), (READER.key, "/console/batches")], ids=["may upload", "may not"]
)
def test_people_begin_where_their_key_lets_them(make_lab: MakeLab, key: str, begin: str) -> None:
    """A key that may not upload is not led to the page for uploads, which would refuse it."""
    browser = Browser(make_lab(API_KEYS=KEYS))
    browser.sign_in(key)

    assert browser.get("/console/").location == begin


@pytest.mark.threat("T20")
def test_a_key_that_is_taken_out_ends_its_sessions(make_lab: MakeLab) -> None:
    before, after = Browser(make_lab(API_KEYS=KEYS)), Browser(make_lab(API_KEYS=READER.line))
    before.sign_in(SHOP.key)
    after.keep("pressroom", before.cookie("pressroom").value)

    assert before.get("/console/batches").status_code == 200
    assert after.get("/console/batches").status_code == 303


def test_signing_out_ends_the_session(make_lab: MakeLab) -> None:
    browser = Browser(make_lab(API_KEYS=KEYS))
    browser.sign_in(SHOP.key)

    browser.post("/console/logout")

    assert browser.get("/console/batches").status_code == 303


def test_the_script_is_told_that_the_session_has_ended(make_lab: MakeLab) -> None:
    """It would otherwise put the sign-in where the list was."""
    answer = Browser(make_lab(API_KEYS=KEYS)).get("/console/batches/live", **{"X-Console-Fragment": "1"})

    assert answer.status_code == 401


def test_a_scope_that_is_missing_hides_and_refuses(make_lab: MakeLab) -> None:
    lab = make_lab(API_KEYS=KEYS)
    uploaded = lab.upload(sheet_of("https://a.test/1.jpg"), headers={"Authorization": f"Bearer {SHOP.key}"})
    request_id = uploaded.json["request_id"]
    reader, writer = Browser(lab), Browser(lab)
    reader.sign_in(READER.key)
    writer.sign_in(SHOP.key)
    page = f"/console/batches/{request_id}"

    refused = reader.post(f"{page}/cancel")

    assert f"{page}/cancel" in writer.get(page).text
    assert f"{page}/cancel" not in reader.get(page).text
    assert "New batch" not in reader.get(page).text
    assert refused.status_code == 403
    assert "SCOPE_MISSING" in refused.text


@pytest.mark.threat("T20")
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_form_of_another_origin_is_refused(make_lab: MakeLab, headers: dict[str, str]) -> None:
    lab = make_lab()
    request_id = lab.submit("https://a.test/1.jpg")

    answer = Browser(lab).post(f"/console/batches/{request_id}/cancel", headers=headers)

    assert answer.status_code == 403
    assert "OTHER_ORIGIN" in answer.text
    assert lab.batch_row(request_id)["cancel_requested"] is False


@pytest.mark.parametrize("headers", [OWN_PAGE, {"Origin": "http://localhost"}])
def test_a_form_of_an_own_page_is_taken(make_lab: MakeLab, headers: dict[str, str]) -> None:
    lab = make_lab()
    request_id = lab.submit("https://a.test/1.jpg")

    answer = Browser(lab).post(f"/console/batches/{request_id}/cancel", headers=headers)

    assert answer.status_code == 303
    assert lab.batch_row(request_id)["cancel_requested"] is True
