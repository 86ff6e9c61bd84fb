"""What one owner has does not exist for another, on every page of the console."""

from __future__ import annotations

import uuid

import pytest

from chassis.auth.api_keys import Scope, new_key
from support.console_browser import Browser
from support.ingest_service import Lab, MakeLab, sheet_of

ALICE, BOB = (new_key(owner=name, scopes=["read", "write"]) for name in ("alice", "bob"))
KEYS = f"{ALICE.line}\n{BOB.line}"

BY_ID = {
    "GET /console/batches/<uuid:request_id>",
    "GET /console/batches/<uuid:request_id>/live",
    "GET /console/batches/<uuid:request_id>/cancel",
    "GET /console/batches/<uuid:request_id>/download/<name>",
    "POST /console/batches/<uuid:request_id>/cancel",
    "POST /console/batches/<uuid:request_id>/retry",
}
"""They name a thing: somebody else's is answered as one that does not exist."""

BY_IMAGE = {
    "GET /console/images/<uuid:image_id>",
    "GET /console/images/<uuid:image_id>/<any(thumb, after):kind>",
    "GET /console/images/<uuid:image_id>/before",
}
"""They name an image: test_image_pages walks them."""

OWN = {
    "GET /console/batches",
    "GET /console/batches/live",
    "GET /console/new",
    "POST /console/new",
    "GET /console/settings",
    # The reporter is asked for the visitor's owner (tests/contract/test_console_webhooks).
    "GET /console/webhooks",
    "POST /console/webhooks",
    "GET /console/webhooks/<uuid:endpoint_id>",
    "POST /console/webhooks/<uuid:endpoint_id>/<any(test, pause, enable, rotate, delete):what>",
    "POST /console/webhooks/<uuid:endpoint_id>/redeliver",
    "POST /console/deliveries/<uuid:delivery_id>/redeliver",
}
"""They show or make what is the visitor's alone."""


def guarded(lab: Lab) -> set[str]:
    """Return `METHOD /rule` of every page that needs a visitor."""
    return {
        f"{method} {rule.rule}"
        for rule in lab.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD"}
        if rule.rule.startswith("/console/")
        and isinstance(vars(lab.app.view_functions[rule.endpoint])["needed_scope"], Scope)
    }


@pytest.mark.threat("T10")
def test_every_page_is_decided_about(lab: Lab) -> None:
    """A page that is added needs a line above; without one nobody has thought about its owners."""
    assert guarded(lab) == BY_ID | BY_IMAGE | OWN


@pytest.mark.threat("T10")
@pytest.mark.parametrize("route", sorted(BY_ID))
def test_another_owners_batch_is_an_unknown_batch(make_lab: MakeLab, route: str) -> None:
    lab = make_lab(API_KEYS=KEYS)
    uploaded = lab.upload(sheet_of("https://a.test/1.jpg"), headers={"Authorization": f"Bearer {ALICE.key}"})
    hers, nobodys = uploaded.json["request_id"], str(uuid.uuid4())
    bob = Browser(lab)
    bob.sign_in(BOB.key)
    method, _, path = route.partition(" ")

    answers = []
    for request_id in (hers, nobodys):
        url = path.replace("<uuid:request_id>", request_id).replace("<name>", "output.csv")
        answer = bob.get(url) if method == "GET" else bob.post(url)
        answers.append((answer.status_code, "BATCH_NOT_FOUND" in answer.text))

    assert answers == [(404, True), (404, True)]


@pytest.mark.threat("T10")
def test_lists_show_what_is_the_visitors_own(make_lab: MakeLab) -> None:
    lab = make_lab(API_KEYS=KEYS)
    uploaded = lab.upload(sheet_of("https://a.test/1.jpg"), headers={"Authorization": f"Bearer {ALICE.key}"})
    hers = uploaded.json["request_id"]

    shown = {}
    for name, key in (("alice", ALICE), ("bob", BOB)):
        browser = Browser(lab)
        browser.sign_in(key.key)
        shown[name] = [hers in browser.get(path).text for path in ("/console/batches", "/console/batches/live")]

    assert shown == {"alice": [True, True], "bob": [False, False]}
