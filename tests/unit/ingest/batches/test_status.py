"""The read side: status pages, lists, limits, documents."""

from __future__ import annotations

import re

import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import QueuePool

from support.ingest_service import Lab, MakeLab
from support.payload_schemas import assert_matches

A = "https://a.example/1.jpg"
UNKNOWN = "00000000-0000-4000-8000-000000000000"


def test_status_by_path_and_by_query_are_the_same(lab: Lab) -> None:
    """The seed's form and the resource form."""
    request_id = lab.submit(A)
    assert lab.get("/status", request_id=request_id).json == lab.get(f"/status/{request_id}").json


def test_a_product_has_the_seeds_keys(lab: Lab) -> None:
    """Two comma-joined strings, an id, a name and a status."""
    request_id = lab.submit(f"{A} {A}?2")
    [product] = lab.status(request_id)["products"]
    seed = {key: product[key] for key in ("id", "product_name", "input_images", "output_images", "status")}
    assert seed == {
        "id": "2",
        "product_name": "Product 1",
        "input_images": f"{A},{A}?2",
        "output_images": ",",
        "status": "PENDING",
    }


def test_sealing_is_shown_as_processing(lab: Lab) -> None:
    """Clients need not know of it."""
    request_id = lab.submit(A)
    lab.report(lab.claim(request_id, lab.start(request_id))[0])
    status = lab.status(request_id)
    assert (status["status"], status["progress_percent"]) == ("PROCESSING", 99.9)


def test_pages_of_products_follow_one_another(lab: Lab) -> None:
    """Each row once, in order, and the last page has no token."""
    request_id = lab.submit(*[f"{A}?{n}" for n in range(5)])
    names: list[str] = []
    token = ""
    for _ in range(3):
        page = lab.get(f"/status/{request_id}", page_size=2, page_token=token).json
        names += [product["product_name"] for product in page["products"]]
        token = page["next_page_token"]
    assert names == [f"Product {n}" for n in range(1, 6)]
    assert token == ""


def test_a_page_ends_early_when_its_rows_hold_very_many_images(lab: Lab) -> None:
    """Between two rows, and nothing is left out."""
    request_id = lab.submit(*[" ".join(f"{A}?{row}-{slot}" for slot in range(100)) for row in range(52)])

    first = lab.get(f"/status/{request_id}", page_size=1000).json
    second = lab.get(f"/status/{request_id}", page_size=1000, page_token=first["next_page_token"]).json

    sizes = [[len(product["images"]) for product in page["products"]] for page in (first, second)]
    assert sizes == [[100] * 50, [100] * 2]
    assert second["next_page_token"] == ""


def test_batches_are_listed_newest_first_page_by_page(lab: Lab) -> None:
    """With the same token rule."""
    ids = [lab.submit(A) for _ in range(3)]
    first = lab.get("/requests", page_size=2).json
    second = lab.get("/requests", page_size=2, page_token=first["next_page_token"]).json
    listed = [batch["request_id"] for batch in first["requests"] + second["requests"]]
    assert (listed, second["next_page_token"]) == (ids[::-1], "")


def test_batches_are_filtered_by_public_status(lab: Lab) -> None:
    """PROCESSING includes batches that are being sealed."""
    pending, sealing, done = lab.submit(A), lab.submit(A), lab.submit(A)
    lab.report(lab.claim(sealing, lab.start(sealing))[0])
    lab.finish_all(done)

    found = {
        status: [batch["request_id"] for batch in lab.get("/requests", status=status).json["requests"]]
        for status in ("PENDING", "PROCESSING", "COMPLETED", "CANCELLED")
    }

    assert found == {"PENDING": [pending], "PROCESSING": [sealing], "COMPLETED": [done], "CANCELLED": []}


@pytest.mark.fault("F22")
@pytest.mark.parametrize("token", ["x", "!!!", "W10", "eyJhIjoxfQ", "WyJyZXF1ZXN0cy8iLCBbMSwgMl1d", "\u00fc"])
def test_a_foreign_page_token_is_refused(lab: Lab, token: str) -> None:
    """Never a crash, whatever it decodes to."""
    status = lab.get(f"/status/{lab.submit(A)}", page_token=token)
    listed = lab.get("/requests", page_token=token)
    assert (status.code, status.reason) == (400, "PAGE_TOKEN_INVALID")
    assert (listed.code, listed.reason) == (400, "PAGE_TOKEN_INVALID")


def test_a_page_token_belongs_to_its_filter(lab: Lab) -> None:
    """Another filter would skip batches silently."""
    lab.submit(A)
    lab.submit(A)
    token = lab.get("/requests", page_size=1, status="PENDING").json["next_page_token"]
    assert lab.get("/requests", page_size=1, page_token=token).reason == "PAGE_TOKEN_INVALID"


@pytest.mark.fault("F22")
@pytest.mark.parametrize(
    ("path", "code", "reason"),
    [
        (f"/status/{UNKNOWN}", 404, "BATCH_NOT_FOUND"),
        ("/status/not-a-uuid", 400, "REQUEST_ID_INVALID"),
        ("/status/%27%3B%20DROP%20TABLE%20batches", 400, "REQUEST_ID_INVALID"),
        ("/status", 400, "FIELD_INVALID"),
        (f"/status?request_id={UNKNOWN}&request_id=x", 400, "FIELD_INVALID"),
        (f"/status/{UNKNOWN}?page_size=1001", 400, "FIELD_INVALID"),
        (f"/status/{UNKNOWN}?page_size=x", 400, "FIELD_INVALID"),
        (f"/status/{UNKNOWN}?sort=name", 400, "FIELD_INVALID"),
        ("/requests?status=SEALING", 400, "FIELD_INVALID"),
        ("/requests?page_token=%00", 400, "PAGE_TOKEN_INVALID"),
        ("/upload", 405, "METHOD_NOT_ALLOWED"),
        ("/nowhere", 404, "ROUTE_NOT_FOUND"),
    ],
)
def test_a_bad_question_is_answered_in_the_one_error_form(lab: Lab, path: str, code: int, reason: str) -> None:
    """AIP-193 with a documented reason."""
    answer = lab.get(path)
    assert_matches("error", answer.json)
    assert (answer.code, answer.reason) == (code, reason)


@pytest.mark.parametrize("route", ["/cancel", "/retry"])
def test_an_unknown_batch_cannot_be_changed(lab: Lab, route: str) -> None:
    """404."""
    assert lab.post(route, {"request_id": UNKNOWN}).reason == "BATCH_NOT_FOUND"


def test_the_limits_are_those_that_hold(make_lab: MakeLab) -> None:
    """What /limits says is what an upload is held to."""
    lab = make_lab(INGEST_MAX_ROWS="1")
    assert lab.get("/limits").json["max_rows"] == 1
    assert lab.upload(f"Product Name,Input Image Urls\nx,{A}\ny,\n").reason == "SHEET_INVALID"


def test_the_document_has_every_public_route_and_no_other(lab: Lab) -> None:
    """`/openapi.json` is compared with the application itself; pages are for people."""
    document = lab.get("/openapi.json").json
    documented = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    served = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in lab.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.rule.startswith(("/internal/", "/console", "/docs/"))
    }
    assert documented == served


def test_every_reference_in_the_document_leads_somewhere(lab: Lab) -> None:
    """Models refer to models; a reader of the document must find them."""
    document = lab.get("/openapi.json")
    references = set(re.findall(r'"\$ref": ?"([^"]+)"', document.text))
    schemas = document.json["components"]["schemas"]
    assert references == {f"#/components/schemas/{name}" for name in schemas} & references


def test_the_document_shows_both_doors_of_an_upload(lab: Lab) -> None:
    """A form and JSON, for the upload and for the corrected sheet."""
    paths = lab.get("/openapi.json").json["paths"]
    for path in ("/upload", "/corrected_sheet"):
        doors = set(paths[path]["post"]["requestBody"]["content"])
        assert doors == {"multipart/form-data", "application/json"}


@pytest.mark.parametrize("path", ["/status/{}", "/requests", "/limits"])
def test_answers_have_the_documented_shape(lab: Lab, path: str) -> None:
    """The models in the document are closed, so a forgotten field is found."""
    document = lab.get("/openapi.json").json
    request_id = lab.submit(A)
    operation = document["paths"][path.format("{request_id}")]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    answer = lab.get(path.format(request_id)).json
    Draft202012Validator(schema | {"components": document["components"]}).validate(answer)


def test_the_export_of_an_unknown_batch_is_an_error_and_not_a_broken_stream(lab: Lab) -> None:
    """404 before the first byte."""
    answer = lab.internal("reporter", "GET", f"/internal/batches/{UNKNOWN}/export")
    assert (answer.code, answer.reason) == (404, "BATCH_NOT_FOUND")


def test_an_export_that_nobody_reads_gives_its_connection_back(lab: Lab) -> None:
    """HEAD reads no line; forty of them do not empty the pool."""
    path = f"/internal/batches/{lab.submit(A)}/export"
    headers = {"Authorization": lab.token("reporter")}
    codes = set()
    for _ in range(40):
        response = lab.client().head(path, headers=headers)
        codes.add(response.status_code)
        response.close()
    assert isinstance(lab.engine.pool, QueuePool)
    assert (codes, lab.engine.pool.checkedout()) == ({200}, 0)
