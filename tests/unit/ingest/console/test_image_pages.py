"""Pictures of a batch: who may look, at how many, and what a browser is told of them."""

from __future__ import annotations

import io

import pytest

from chassis.auth.api_keys import new_key
from chassis.errors import ApiError, Status
from support.console_browser import Browser
from support.console_site import Story, play, sheet
from support.ingest_service import Lab, MakeLab, sheet_of
from support.memory_clients import WEBP


def images_of(lab: Lab, request_id: str) -> list[str]:
    """Return the ids of a batch's images in the order of the sheet."""
    found = lab.rows("SELECT id FROM images WHERE batch = :id ORDER BY row_number, slot", id=request_id)
    return [str(row["id"]) for row in found]


@pytest.mark.parametrize("kind", ["thumb", "after", "before"])
def test_a_picture_comes_from_us_and_can_do_nothing(lab: Lab, kind: str) -> None:
    image = images_of(lab, play(lab, Story("a.csv", 1)))[0]

    answer = Browser(lab).get(f"/console/images/{image}/{kind}")

    assert answer.status_code == 200
    assert answer.data == WEBP
    assert answer.mimetype == "image/webp"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert answer.headers["Cache-Control"].startswith("private, ")


@pytest.mark.parametrize(("changed", "told"), [(True, "yes"), (False, "no")])
def test_a_source_that_has_changed_is_told(lab: Lab, changed: bool, told: str) -> None:
    image = images_of(lab, play(lab, Story("a.csv", 1)))[0]
    lab.previews.changed = changed

    answer = Browser(lab).get(f"/console/images/{image}/before")

    assert answer.headers["X-Source-Changed"] == told


def test_an_image_without_output_has_no_picture(lab: Lab) -> None:
    image = images_of(lab, lab.submit("https://a.test/1.jpg"))[0]

    assert Browser(lab).get(f"/console/images/{image}/thumb").status_code == 404
    assert "There is no output" in Browser(lab).get(f"/console/images/{image}").text


def test_what_the_compressor_says_is_told(lab: Lab) -> None:
    image = images_of(lab, play(lab, Story("a.csv", 1)))[0]
    lab.previews.error = ApiError(Status.FAILED_PRECONDITION, "PREVIEW_FAILED", "HTTP_4XX: HTTP 404.")

    answer = Browser(lab).get(f"/console/images/{image}/before")

    assert answer.status_code == 400
    assert "HTTP_4XX: HTTP 404." in answer.text


def test_a_host_is_asked_no_more_often_than_for_batches(lab: Lab) -> None:
    first, second, *_ = images_of(lab, play(lab, Story("a.csv", 1)))
    lab.change("UPDATE hosts SET next_start_at = now(), rate = 0.1")
    browser = Browser(lab)

    answers = [browser.get(f"/console/images/{image}/before").status_code for image in (first, second)]

    assert answers == [200, 503]
    assert [kind for kind, _ in lab.previews.asked] == ["source"]


def test_a_host_that_asked_for_a_pause_is_left_alone(lab: Lab) -> None:
    image = images_of(lab, play(lab, Story("a.csv", 1)))[0]
    lab.change("UPDATE hosts SET blocked_until = now() + interval '1 minute'")

    answer = Browser(lab).get(f"/console/images/{image}/before")

    assert answer.status_code == 503
    assert "HOST_BUSY" in answer.text
    assert lab.previews.asked == []


def test_an_owner_may_look_at_so_many_pictures_in_a_minute(make_lab: MakeLab) -> None:
    lab = make_lab(INGEST_MAX_PREVIEWS_PER_MINUTE="2")
    image = images_of(lab, play(lab, Story("a.csv", 1)))[0]
    lab.change("DELETE FROM previews")
    browser = Browser(lab)

    codes = [browser.get(f"/console/images/{image}/thumb").status_code for _ in range(3)]
    lab.change("UPDATE previews SET minute = minute - interval '1 minute'")
    later = browser.get(f"/console/images/{image}/thumb").status_code

    assert codes == [200, 200, 429]
    assert later == 200


def test_neighbours_are_those_with_an_output(lab: Lab) -> None:
    request_id = play(lab, Story("a.csv", 2))
    first, second, third, _ = images_of(lab, request_id)
    lab.change("UPDATE images SET status = 'FAILED', output_url = NULL WHERE id = :id", id=second)

    page = Browser(lab).get(f"/console/images/{third}").text

    assert f'rel="prev" href="/console/images/{first}"' in page
    assert second not in page


@pytest.mark.threat("T10")
@pytest.mark.parametrize("path", ["", "/thumb", "/before", "/after"])
def test_another_owners_image_is_an_unknown_image(make_lab: MakeLab, path: str) -> None:
    alice, bob = (new_key(owner=name, scopes=["read", "write"]) for name in ("alice", "bob"))
    lab = make_lab(API_KEYS=f"{alice.line}\n{bob.line}")
    uploaded = lab.upload(sheet_of("https://a.test/1.jpg"), headers={"Authorization": f"Bearer {alice.key}"})
    image = images_of(lab, uploaded.json["request_id"])[0]
    browser = Browser(lab)
    browser.sign_in(bob.key)

    answer = browser.get(f"/console/images/{image}{path}")

    assert answer.status_code == 404
    assert "There is no image" in answer.text


def test_five_images_that_stand_far_apart_are_tried_and_nothing_is_stored(lab: Lab) -> None:
    content = io.BytesIO(sheet(50).encode())

    page = Browser(lab).post("/console/new", do="try", file=(content, "shop.csv"))

    tried = sorted(url for _, url in lab.previews.asked)
    assert page.status_code == 200
    assert page.text.count("data:image/webp;base64,") == 10
    assert [url.split("/p/")[1][:5] for url in sorted(tried, key=lambda url: url.split("/p/")[1])] == [
        "00001", "00011", "00021", "00031", "00041",
    ]  # fmt: skip
    assert lab.get("/requests").json["requests"] == []


def test_a_try_tells_what_could_not_be_tried(lab: Lab) -> None:
    lab.previews.error = ApiError(Status.FAILED_PRECONDITION, "PREVIEW_FAILED", "NOT_AN_IMAGE: it looks like HTML.")

    page = Browser(lab).post("/console/new", do="try", file=(io.BytesIO(sheet(5).encode()), "shop.csv"))

    assert page.text.count("NOT_AN_IMAGE: it looks like HTML.") == 5
