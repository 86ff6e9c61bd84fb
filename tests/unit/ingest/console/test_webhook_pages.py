"""Webhooks and settings in the console; the reporter's part is in tests/contract/test_console_webhooks."""

from __future__ import annotations

import pytest

from chassis.auth.api_keys import new_key
from chassis.errors import ApiError, Status
from support.console_browser import Browser
from support.console_site import HOSTILE_NAME, Story, play
from support.console_webhooks import DELIVERY, ENDPOINT_ID, webhook_answers
from support.ingest_service import Lab, MakeLab


@pytest.fixture
def hooks(lab: Lab) -> Lab:
    """Give a laboratory whose reporter knows one endpoint with one delivery."""
    lab.webhooks.answers |= webhook_answers()
    return lab


def test_endpoints_and_deliveries_are_listed_as_text(hooks: Lab) -> None:
    page = Browser(hooks).get("/console/webhooks").text

    assert "https://shop.example/hooks" in page
    assert "&lt;b&gt;gone&lt;/b&gt;" in page
    assert HOSTILE_NAME not in page
    assert "GONE" in page


def test_a_secret_is_shown_once(hooks: Lab) -> None:
    browser = Browser(hooks)

    made = browser.post("/console/webhooks", url="https://shop.example/hooks", events=["batch.failed"])
    later = browser.get(f"/console/webhooks/{ENDPOINT_ID}")

    assert "whsec_once" in made.text
    assert made.headers["Cache-Control"] == "private, no-store"
    assert "whsec_" not in later.text
    body = {"url": "https://shop.example/hooks", "description": "", "event_types": ["batch.failed"]}
    assert (None, "POST /webhooks", body) in hooks.webhooks.asked


@pytest.mark.parametrize(
    ("what", "route", "body"),
    [
        ("test", f"POST /webhooks/{ENDPOINT_ID}/test", None),
        ("pause", f"PATCH /webhooks/{ENDPOINT_ID}", {"enabled": False}),
        ("enable", f"PATCH /webhooks/{ENDPOINT_ID}", {"enabled": True}),
        ("delete", f"DELETE /webhooks/{ENDPOINT_ID}", None),
    ],
)
def test_each_button_makes_one_call(hooks: Lab, what: str, route: str, body: dict[str, bool] | None) -> None:
    answer = Browser(hooks).post(f"/console/webhooks/{ENDPOINT_ID}/{what}")

    assert answer.status_code == 303
    assert hooks.webhooks.asked == [(None, route, body)]


def test_a_new_secret_is_shown(hooks: Lab) -> None:
    assert "whsec_new" in Browser(hooks).post(f"/console/webhooks/{ENDPOINT_ID}/rotate").text


def test_one_or_all_since_are_sent_again(hooks: Lab) -> None:
    browser = Browser(hooks)

    one = browser.post(f"/console/deliveries/{DELIVERY['id']}/redeliver")
    many = browser.post(f"/console/webhooks/{ENDPOINT_ID}/redeliver", since="week", which="all")

    assert one.location == many.location == f"/console/webhooks/{ENDPOINT_ID}?done=redelivered"
    _, route, body = hooks.webhooks.asked[-1]
    assert route == f"POST /webhooks/{ENDPOINT_ID}/redeliver"
    assert body is not None
    assert body["only_failed"] is False


def test_the_deliveries_of_a_batch_are_a_tab(hooks: Lab) -> None:
    request_id = play(hooks, Story("a.csv", 1))

    page = Browser(hooks).get(f"/console/batches/{request_id}?tab=deliveries").text

    assert "batch.completed" in page
    assert (None, f"GET /deliveries?request_id={request_id}", None) in hooks.webhooks.asked


def test_what_the_reporter_refuses_is_told(hooks: Lab) -> None:
    hooks.webhooks.answers["POST /webhooks"] = ApiError(
        Status.INVALID_ARGUMENT, "WEBHOOK_URL_FORBIDDEN", "The URL leads to a private address."
    )

    answer = Browser(hooks).post("/console/webhooks", url="http://10.0.0.1/")

    assert answer.status_code == 400
    assert "The URL leads to a private address." in answer.text


def test_retry_of_one_code_and_host_leaves_the_others(lab: Lab) -> None:
    request_id = play(lab, Story("a.csv", 3, failed=1.0))
    lab.change("UPDATE images SET code = 'HTTP_5XX' WHERE batch = :id AND row_number = 2", id=request_id)

    Browser(lab).post(f"/console/batches/{request_id}/retry", code="HTTP_5XX")

    assert lab.status(request_id)["counts"] | {} == {"total": 6, "pending": 2, "succeeded": 0, "failed": 4}


def test_settings_show_who_is_signed_in_and_what_is_used(make_lab: MakeLab) -> None:
    shop, other = (
        new_key(owner="shop", scopes=["read"], name="till"),
        new_key(owner="other", scopes=["read"], name="x9"),
    )
    lab = make_lab(API_KEYS=f"{shop.line}\n{other.line}")
    lab.peers.trouble = {"reporter": "The reporter service cannot be reached."}
    browser = Browser(lab)
    browser.sign_in(shop.key)

    page = browser.get("/console/settings").text

    assert "till" in page
    assert "x9" not in page
    assert "Unfinished images an owner may have at once" in page
    assert "The reporter service cannot be reached." in page


def test_without_keys_a_plain_sentence_says_so(lab: Lab) -> None:
    assert "there are no API keys" in Browser(lab).get("/console/settings").text
