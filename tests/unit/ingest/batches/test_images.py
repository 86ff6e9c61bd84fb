"""Looking into a batch: images by filters, problems, hosts, savings, and a summary that is cheap to ask."""

from __future__ import annotations

from typing import Any

import pytest

import ingest.batches.images
from chassis.auth.api_keys import new_key
from support.ingest_service import Lab, MakeLab, sheet_of

A, B = "https://a.example/1.jpg", "https://b.example/2.jpg"


@pytest.fixture
def finished(lab: Lab) -> str:
    """Give a finished batch: three images of a.example succeeded, two of them one download; two of b.example failed."""
    sheet = sheet_of(f"{A} {B}", f"{A}?x {A}?x", f"{B}?y")
    request_id = str(lab.upload(sheet).json["request_id"])
    execution = lab.start(request_id)
    for payload in lab.claim(request_id, execution):
        lab.report(payload, outcome="SUCCEEDED" if "a.example" in payload["url"] else "FAILED")
    assert lab.finish(request_id, execution).code == 200
    return request_id


def images_of(lab: Lab, request_id: str, **query: Any) -> list[dict[str, Any]]:
    """Return the images of one page."""
    answer = lab.get(f"/status/{request_id}/images", **query)
    assert answer.code == 200, answer.text
    return list(answer.json["images"])


def test_images_come_in_the_order_of_the_sheet_with_their_rows(lab: Lab, finished: str) -> None:
    """Row, slot, name and host beside what the status tells of an image."""
    found = images_of(lab, finished)

    places = [(image["row"], image["slot"], image["product_name"], image["host"]) for image in found]
    assert places == [
        (2, 0, "Product 1", "a.example"),
        (2, 1, "Product 1", "b.example"),
        (3, 0, "Product 2", "a.example"),
        (3, 1, "Product 2", "a.example"),
        (4, 0, "Product 3", "b.example"),
    ]
    told = {name: value for product in lab.status(finished)["products"] for name, value in product["images"][0].items()}
    assert told.keys() < found[0].keys()


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ({"status": "FAILED"}, [2, 4]),
        ({"status": "SUCCEEDED"}, [2, 3, 3]),
        ({"status": "CANCELLED"}, []),
        ({"status": ""}, [2, 2, 3, 3, 4]),
        ({"code": "HTTP_404"}, [2, 4]),
        ({"host": "a.example"}, [2, 3, 3]),
        ({"host": "a.example", "status": "FAILED"}, []),
        ({"q": "?Y"}, [4]),
        ({"q": "product 2"}, [3, 3]),
        ({"q": "3", "status": "FAILED"}, [4]),
        ({"q": "%"}, []),
    ],
)
def test_images_are_filtered_by_all_that_is_asked(
    lab: Lab, finished: str, query: dict[str, str], rows: list[int]
) -> None:
    """Text is looked for as it is, in link, name and serial, whatever its case."""
    assert [image["row"] for image in images_of(lab, finished, **query)] == rows


def test_pages_of_images_follow_one_another(lab: Lab, finished: str) -> None:
    """Each image once, in order, also between two slots of a row."""
    places, token = [], ""
    for _ in range(3):
        page = lab.get(f"/status/{finished}/images", page_size=2, page_token=token).json
        places += [(image["row"], image["slot"]) for image in page["images"]]
        token = page["next_page_token"]

    assert (places, token) == ([(2, 0), (2, 1), (3, 0), (3, 1), (4, 0)], "")


def test_a_page_that_found_nothing_in_what_it_looked_at_has_a_next_one(
    lab: Lab, finished: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left out."""
    monkeypatch.setattr(ingest.batches.images, "MAX_SCANNED_IMAGES", 2)
    found, tokens, token = [], 0, ""
    while True:
        page = lab.get(f"/status/{finished}/images", q="?y", page_token=token).json
        found += [image["row"] for image in page["images"]]
        token = page["next_page_token"]
        if not token:
            break
        tokens += 1

    assert (found, tokens) == ([4], 2)


def test_a_page_token_of_images_belongs_to_its_filter(lab: Lab, finished: str) -> None:
    """Another filter would skip images silently."""
    token = lab.get(f"/status/{finished}/images", page_size=1, status="FAILED").json["next_page_token"]

    refused = lab.get(f"/status/{finished}/images", page_token=token)

    assert (refused.code, refused.reason) == (400, "PAGE_TOKEN_INVALID")


def test_problems_are_counted_by_code_and_host(lab: Lab, finished: str) -> None:
    """Each pair with an example; all are told."""
    answer = lab.get(f"/status/{finished}/problems").json

    assert answer["problems"] == [
        {
            "status": "FAILED",
            "code": "HTTP_404",
            "host": "b.example",
            "images": 2,
            "example": "",
            "can_be_retried": True,
        }
    ]
    assert (answer["counted_images"], answer["complete"], answer["invalid_rows"]) == (2, True, 0)


def test_links_that_cannot_be_used_are_problems_that_no_retry_mends(lab: Lab) -> None:
    """They have no host; a row that was skipped is counted beside them."""
    sheet = sheet_of(f"{A} https://u:p@a.example/2.jpg") + "2,Two,nonsense\r\n"
    request_id = lab.upload(sheet, on_invalid="skip").json["request_id"]

    answer = lab.get(f"/status/{request_id}/problems").json

    [problem] = answer["problems"]
    assert (problem["code"], problem["host"], problem["can_be_retried"]) == ("URL_FORBIDDEN", "", False)
    assert answer["invalid_rows"] == 1


@pytest.mark.feature("52")
def test_savings_are_told_by_row_host_and_batch(lab: Lab, finished: str) -> None:
    """Three images of 1000 bytes became 400 each; the sums of rows and of hosts are those of the batch."""
    status = lab.status(finished)
    whole = {"images": 3, "bytes_in": 3000, "bytes_out": 1200, "saved_bytes": 1800, "saved_percent": 60.0}

    assert status["savings"] == lab.get(f"/status/{finished}", view="summary").json["savings"] == whole
    hosts = {host["host"]: host["savings"] for host in lab.get(f"/status/{finished}/hosts").json["hosts"]}
    rows = [product["savings"] for product in status["products"]]
    nothing = {"images": 0, "bytes_in": 0, "bytes_out": 0, "saved_bytes": 0, "saved_percent": None}
    assert hosts == {"a.example": whole, "b.example": nothing}
    assert [row["saved_bytes"] for row in rows] == [600, 1200, 0]
    assert rows[2] == nothing


def test_hosts_are_listed_up_to_the_page_and_all_counted(lab: Lab, finished: str) -> None:
    """Those in trouble first."""
    answer = lab.get(f"/status/{finished}/hosts", page_size=1).json

    assert [host["host"] for host in answer["hosts"]] == ["b.example"]
    assert answer["host_count"] == 2


def test_a_summary_has_neither_products_nor_hosts(lab: Lab, finished: str) -> None:
    """The rest is what the full view tells."""
    summary, full = lab.get(f"/status/{finished}", view="summary").json, lab.status(finished)

    assert full.keys() - summary.keys() == {"products", "hosts", "host_count", "next_page_token"}
    assert {name: full[name] for name in summary} == summary


def test_a_summary_is_not_sent_again_until_something_has_ended(lab: Lab) -> None:
    """304 with the ETag of the answer before; an outcome makes it another."""
    request_id = lab.submit(f"{A} {B}")
    payload = lab.claim(request_id, lab.start(request_id))[0]
    path = f"/status/{request_id}?view=summary"
    first = lab.client().get(path)
    tag = first.headers["ETag"]

    again = lab.client().get(path, headers={"If-None-Match": tag})
    lab.report(payload)
    changed = lab.client().get(path, headers={"If-None-Match": tag})

    assert (first.status_code, again.status_code, again.data) == (200, 304, b"")
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


def test_without_keys_everybody_is_nobody(lab: Lab) -> None:
    """And may read and write."""
    answer = lab.get("/whoami").json

    assert (answer["owner"], answer["scopes"], answer["keys_required"], answer["keys"]) == (
        None,
        ["read", "write"],
        False,
        [],
    )


def test_a_key_is_told_whose_it_is_and_what_keys_its_owner_has(make_lab: MakeLab) -> None:
    """Names and scopes of the owner's own keys, and of no other's."""
    own = new_key(owner="shop", scopes=["read"], name="ci", expires_at="2999-01-01T00:00:00Z")
    second, other = new_key(owner="shop", scopes=["write"], name="uploads"), new_key(owner="other", scopes=["admin"])
    lab = make_lab(API_KEYS="\n".join(key.line for key in (own, second, other)))

    answer = lab.client().get("/whoami", headers={"X-API-Key": own.key}).json

    assert answer is not None
    assert (answer["owner"], answer["sees_all"], answer["scopes"]) == ("shop", False, ["read"])
    assert [(key["name"], key["scopes"], key["current"]) for key in answer["keys"]] == [
        ("ci", ["read"], True),
        ("uploads", ["write"], False),
    ]
    assert answer["keys"][0]["expires_at"] == "2999-01-01T00:00:00.000000Z"
