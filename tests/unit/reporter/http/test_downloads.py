"""Download links: who holds one may read one report for a while."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as gcs  # type: ignore[attr-defined]
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from chassis.errors import ApiError
from reporter.clients.bucket import ReportObjects
from reporter.reports.links import content_disposition, saved_name
from support.reporter_service import ROOT_URL, Answer, Got, World, export, failed_image, loopback, row


def reason(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["error"]["details"][0]["reason"]


def link(world: World, request_id: str) -> str:
    answer = world.client.get("/download_csv", query_string={"request_id": request_id})
    url: str = answer.get_json()["download_url"]
    return url


def test_the_workflows_link_downloads_the_sheet(world: World) -> None:
    """The URL answered to the workflow works without any identity, with type, length and a name to save as."""
    published = world.publish()

    answer = world.follow(published["download_url"])

    assert answer.status_code == 200
    assert answer.data.startswith(b"\xef\xbb\xbfS. No.,")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="spring-output.csv"')
    assert answer.headers["Cache-Control"] == "private, no-store"


@pytest.mark.feature("50")
def test_the_mark_of_excel_can_be_left_out(world: World) -> None:
    """bom=0 gives the same bytes without the first three."""
    url = world.publish()["download_url"]

    plain = world.follow(f"{url}&bom=0")

    assert plain.data == world.follow(url).data[3:]
    assert plain.headers["Content-Length"] == str(len(plain.data))


def test_a_large_report_is_streamed_whole(world: World) -> None:
    """Pieces of a megabyte add up to the object, from its first byte or behind the mark."""
    request_id = str(uuid4())
    rows = [row(number, cells=[str(number), "é" * 25_000, "u"]) for number in range(2, 62)]
    url = world.publish(export(request_id, rows), request_id=request_id)["download_url"]

    whole, plain = world.follow(url).data, world.follow(f"{url}&bom=0").data

    assert len(whole) > 3_000_000
    assert whole == b"\xef\xbb\xbf" + plain
    assert len(plain.splitlines()) == 61


def test_a_link_can_be_asked_about(world: World) -> None:
    """HEAD tells type and size without the body."""
    url = world.publish()["download_url"].removeprefix(ROOT_URL)

    answer = world.client.head(url)

    assert (answer.status_code, answer.data) == (200, b"")
    assert int(answer.headers["Content-Length"]) == len(world.client.get(url).data)


def test_download_csv_links_to_all_three_files(world: World) -> None:
    """The seed's key download_url, and beside it the failed rows and the results."""
    request_id = str(uuid4())
    world.publish(export(request_id, [row(2, [failed_image()])]), request_id=request_id)

    links = world.client.get("/download_csv", query_string={"request_id": request_id}).get_json()

    assert world.follow(links["download_url"]).headers["Content-Type"] == "text/csv; charset=utf-8"
    assert b"https://shop.test/0.png" in world.follow(links["failed_url"]).data
    assert world.follow(links["results_url"]).headers["Content-Type"] == "application/x-ndjson"


def test_without_a_request_id_the_latest_report_is_meant(world: World) -> None:
    """As in the first release, /download_csv alone gives the batch that finished last."""
    world.publish()
    world.clock.advance(1)
    latest = world.publish()["request_id"]

    answer = world.client.get("/download_csv").get_json()

    assert answer["request_id"] == latest


def test_the_newest_generation_is_linked(world: World) -> None:
    """After a retry the link leads to the newer report."""
    request_id = str(uuid4())
    world.publish(export(request_id, [row()], generation=1), request_id=request_id)
    world.publish(export(request_id, [row()], generation=2), request_id=request_id)

    assert parse_qs(urlsplit(link(world, request_id)).query)["generation"] == ["2"]


def test_a_batch_without_report_is_a_404(world: World) -> None:
    """Unknown and unfinished batches look the same; so does a service that has none at all."""
    assert reason(world.client.get("/download_csv", query_string={"request_id": str(uuid4())})) == (
        404,
        "REPORT_NOT_FOUND",
    )
    assert reason(world.client.get("/download_csv")) == (404, "REPORT_NOT_FOUND")


def test_batches_with_an_owner_are_not_linked(world: World) -> None:
    """Nobody can prove here to be the owner, so an owned batch is a 404 and never the latest."""
    request_id = str(uuid4())
    world.publish(export(request_id, [row()], owner="tenant-a"), request_id=request_id)

    assert world.client.get("/download_csv", query_string={"request_id": request_id}).status_code == 404
    assert world.client.get("/download_csv").status_code == 404


def test_a_malformed_request_id_is_named(world: World) -> None:
    """400 with the field, not a crash."""
    answer = world.client.get("/download_csv", query_string={"request_id": "1; DROP TABLE reports"})

    assert reason(answer) == (400, "REQUEST_ID_INVALID")
    assert answer.get_json()["error"]["details"][2]["fieldViolations"][0]["field"] == "request_id"


@pytest.mark.parametrize("query", ["bom=1&bom=0", "request_id=a&request_id=b"])
def test_a_parameter_given_twice_is_refused(world: World, query: str) -> None:
    """Which of two values is meant is not guessed."""
    answer = world.client.get(f"/download_csv?{query}")

    assert reason(answer) == (400, "FIELD_INVALID")
    assert "more than once" in str(answer.get_json()["error"]["details"])


@pytest.mark.feature("54")
@pytest.mark.threat("T10")
def test_a_link_expires(world: World) -> None:
    """It works until its life is over, and then says so."""
    url = world.publish()["download_url"]
    world.clock.advance(world.settings.download_ttl_s)
    assert world.follow(url).status_code == 200
    world.clock.advance(1)

    assert reason(world.follow(url)) == (403, "DOWNLOAD_LINK_EXPIRED")


def test_the_life_of_links_is_a_setting(make_world: Callable[..., World]) -> None:
    """DOWNLOAD_TTL_S decides."""
    world = make_world(DOWNLOAD_TTL_S="10")
    url = world.publish()["download_url"]
    world.clock.advance(11)

    assert reason(world.follow(url)) == (403, "DOWNLOAD_LINK_EXPIRED")


@pytest.mark.feature("54")
@pytest.mark.threat("T10")
def test_a_link_opens_no_other_report(world: World) -> None:
    """A token is good for its own batch and generation only."""
    mine, other = world.publish(), world.publish()
    moved = mine["download_url"].replace(mine["request_id"], other["request_id"])

    assert reason(world.follow(moved)) == (403, "DOWNLOAD_LINK_INVALID")
    assert reason(world.follow(mine["download_url"].replace("generation=1", "generation=2"))) == (
        403,
        "DOWNLOAD_LINK_INVALID",
    )


@pytest.mark.threat("T10")
@pytest.mark.parametrize("token", ["", "garbage", "a.b.c", "W10.x.y", "\u00e9"])
def test_a_forged_token_is_refused(world: World, token: str) -> None:
    """Missing, malformed and invented tokens are one kind of 403."""
    published = world.publish()
    path = f"/reports/{published['request_id']}/output.csv"

    assert reason(world.client.get(path, query_string={"token": token})) == (403, "DOWNLOAD_LINK_INVALID")


def test_a_changed_token_is_refused(world: World) -> None:
    """One flipped character anywhere in the token is enough."""
    url = world.publish()["download_url"]
    token = parse_qs(urlsplit(url).query)["token"][0]
    changed = [token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1 :] for i in range(0, len(token) - 1, 7)]

    answers = {reason(world.follow(url.replace(token, other))) for other in changed}

    assert answers == {(403, "DOWNLOAD_LINK_INVALID")}


def test_another_secret_opens_nothing(world: World, make_world: Callable[..., World]) -> None:
    """A link of another deployment is refused."""
    url = make_world(DOWNLOAD_SIGNING_SECRET="x" * 32).publish()["download_url"]

    assert reason(world.follow(url)) == (403, "DOWNLOAD_LINK_INVALID")


def test_a_report_whose_object_is_gone_is_a_404(world: World) -> None:
    """Retention may delete objects before rows."""
    published = world.publish()
    world.bucket.blob(published["reports"]["output_csv"].split("/", 3)[3]).delete()

    assert reason(world.follow(published["download_url"])) == (404, "REPORT_NOT_FOUND")


def test_an_unknown_file_is_a_404(world: World) -> None:
    """A report has no other files than its own."""
    url = world.publish()["download_url"].replace("output.csv", "secrets.csv")

    assert reason(world.follow(url)) == (404, "REPORT_NOT_FOUND")


def test_storage_that_is_down_is_a_503() -> None:
    """Our own trouble is told as such, for reading and for writing."""

    def refuse(got: Got) -> Answer:
        # The library asks for the bucket itself in a thread of its own and would go on for minutes after a 503.
        return Answer(403 if got.path.startswith("/storage/v1/b/b?") else 503)

    with loopback(refuse) as url:
        client = gcs.Client(project="demo", credentials=AnonymousCredentials(), client_options={"api_endpoint": url})
        objects = ReportObjects(client.bucket("b"), write_retried_for_s=0.05)
        with pytest.raises(ApiError) as reading:
            objects.open("name")
        with pytest.raises(ApiError) as writing:
            objects.begin("name", content_type="text/csv").finish()
        client.close()

    assert (reading.value.reason, reading.value.http_code) == ("STORAGE_UNAVAILABLE", 503)
    assert (writing.value.reason, writing.value.http_code) == ("STORAGE_UNAVAILABLE", 503)


@pytest.mark.fault("F23")
@pytest.mark.threat("T8")
@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("spring.csv", "spring-output.csv"),
        ("gs://sheets/2026/spring.v2.csv", "spring.v2-output.csv"),
        ("C:\\Users\\x\\spring.csv", "spring-output.csv"),
        ("../../etc/passwd", "passwd-output.csv"),
        ('a"b\r\nSet-Cookie: x.csv', "a_b_Set-Cookie_ x-output.csv"),
        ("", "output.csv"),
        ("...", "output.csv"),
        ("春.csv", "春-output.csv"),
    ],
    ids=repr,
)
def test_files_are_named_after_the_source_sheet(source: str, expected: str) -> None:
    """Folders and characters that no file system likes are dropped."""
    assert saved_name(source, "output.csv") == expected


@pytest.mark.fault("F23")
@pytest.mark.threat("T8")
def test_names_in_any_script_survive_the_header() -> None:
    """RFC 5987: percent-encoded UTF-8, with a plain stand-in for old clients."""
    header = content_disposition('春"x%.csv')

    assert header == "attachment; filename=\"__x_.csv\"; filename*=UTF-8''%E6%98%A5%22x%25.csv"


@pytest.mark.fault("F23")
@pytest.mark.threat("T8")
@pytest.mark.parametrize(
    "source",
    [
        'a"b\r\nSet-Cookie: session=1\r\n\r\n<html>.csv',
        'x"; filename="evil.exe',
        "\u2028\x0b\x0c\x85new lines of other kinds\x7f.csv",
        '\\"\\.csv',
        "a;b,c=d.csv",
    ],
    ids=["header and body", "parameter", "line ends", "backslashes", "separators"],
)
def test_no_name_of_a_sheet_makes_a_header_of_its_own(world: World, source: str) -> None:
    """As served: one Content-Disposition with one name in two forms, and the headers of any other file beside it."""
    request_id = str(uuid4())
    plain = world.follow(world.publish()["download_url"])
    named = world.follow(
        world.publish(export(request_id, [row()], source_name=source), request_id=request_id)["download_url"]
    )

    [disposition] = named.headers.getlist("Content-Disposition")
    assert set(named.headers.keys()) == set(plain.headers.keys())
    assert re.fullmatch(r"""attachment; filename="[^"\\\r\n]*output\.csv"; filename\*=UTF-8''[\w.%~-]+""", disposition)


@pytest.mark.fault("F23")
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_name_is_one_header_value(source: str) -> None:
    """Printable ASCII, its quotes in their places, of bounded length."""
    header = content_disposition(saved_name(source, "output.csv"))

    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert len(header) < 2000


def test_links_are_short_enough_for_every_client(world: World) -> None:
    """2,083 characters is what the payload's schema allows."""
    url = world.publish()["download_url"]

    assert url.startswith(f"{ROOT_URL}/reports/")
    assert len(url) < 300
