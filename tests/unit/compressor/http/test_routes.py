"""POST /compress end to end: real origin, real codec, real storage emulator, real tokens, recording ingest."""

from __future__ import annotations

import hashlib
import io
import threading
import uuid
from typing import Any

import pytest
import requests
from PIL import Image

from chassis.settings import SettingsError
from compressor.clients.store import ImageStore, ObjectKey
from compressor.images.model import Options, OutputFormat, Rendition
from support import pictures
from support.compressor_service import AUDIENCE, COMPRESSOR_ACCOUNT, RecordingIngest, Service, contract, task
from support.scripted_origin import Exchange, ScriptedOrigin, answer, head

TIMELESS = {"duration_ms": 0, "first_byte_ms": 0, "codec_ms": 0}
"""Put over an outcome to leave out what its moment decides."""


def test_an_image_is_fetched_compressed_stored_and_reported(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """The plain case: 200, one object, one outcome that says where it is and what it cost."""
    source = pictures.photo_jpeg(320, 240)
    body = task(origin.on("/a.jpg", answer(source)))

    response = service.post(body)

    assert response.status_code == 200, response.text
    contract("compress_response").validate(response.json)
    assert response.json == {"image_id": body["image_id"], "outcome": "SUCCEEDED", "code": "OK", "applied": True}
    (stored,) = service.objects()
    (outcome,) = ingest.outcomes
    data = stored.download_as_bytes()
    assert outcome["first_byte_ms"] >= 0
    assert 0 < outcome["codec_ms"] <= outcome["duration_ms"]
    assert outcome | TIMELESS == {
        "request_id": body["request_id"],
        "attempt": 1,
        "outcome": "SUCCEEDED",
        "code": "OK",
        "detail": "",
        "transient": False,
        "retry_after_s": None,
        "output_url": f"https://storage.googleapis.com/{stored.bucket.name}/{stored.name}",
        "bytes_in": len(source),
        "bytes_out": len(data),
        "width": 320,
        "height": 240,
        "format": "jpeg",
        "sha256": hashlib.sha256(data).hexdigest(),
        "duration_ms": 0,
        "first_byte_ms": 0,
        "codec_ms": 0,
        "reused": False,
        "source_sha256": hashlib.sha256(source).hexdigest(),
        "etag": None,
        "last_modified": None,
    }
    assert ingest.callers[0].target == f"/internal/images/{body['image_id']}/outcome"


@pytest.mark.feature("53")
@pytest.mark.fault("C8", "C9")
@pytest.mark.threat("T18")
def test_the_stored_object_is_immutable_and_says_what_it_is(service: Service, origin: ScriptedOrigin) -> None:
    """Name, type, caching and metadata are those the README promises."""
    source = pictures.photo_jpeg(64, 48)
    service.post(task(origin.on("/a.jpg", answer(source))))

    (stored,) = service.objects()

    stem = stored.name.removeprefix("images/").removesuffix(".jpg")
    assert len(stem) == 3 + 64
    assert stem[:2] == stem[3:5]
    assert stored.content_type == "image/jpeg"
    assert stored.cache_control == "public, max-age=31536000, immutable"
    assert stored.metadata["source-sha256"] == hashlib.sha256(source).hexdigest()
    assert (stored.metadata["width"], stored.metadata["height"]) == ("64", "48")


def test_ingest_is_called_with_our_own_identity(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """The outcome travels with a token of the compressor's account for ingest's root URL."""
    service.post(task(origin.on("/a.jpg", answer(pictures.photo_jpeg(64, 48)))))

    token = ingest.callers[0].headers["authorization"].removeprefix("Bearer ")

    claims = google_claims(token)
    assert (claims["email"], claims["aud"]) == (COMPRESSOR_ACCOUNT, ingest.server.url("").rstrip("/"))


def google_claims(token: str) -> dict[str, Any]:
    import google.auth.jwt

    return dict(google.auth.jwt.decode(token, verify=False))


@pytest.mark.fault("A3", "C7")
def test_the_same_task_twice_makes_one_object(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """The second delivery meets 412, reads the object back and reports the same outcome."""
    body = task(origin.on("/a.jpg", answer(pictures.photo_jpeg(200, 150))))

    first, second = service.post(body), service.post(body)

    assert (first.status_code, second.status_code) == (200, 200)
    assert len(service.objects()) == 1
    assert ingest.outcomes[0] | TIMELESS == ingest.outcomes[1] | TIMELESS


@pytest.mark.fault("A4")
def test_the_same_task_twice_at_once_makes_one_object(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """Two overlapping deliveries both end well and report the same object."""
    source = pictures.photo_jpeg(200, 150)
    together = threading.Barrier(2)

    def both_wait(exchange: Exchange) -> None:
        together.wait(10)
        answer(source)(exchange)

    body = task(origin.on("/a.jpg", both_wait))
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(service.post(body).status_code)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert codes == [200, 200]
    assert len(service.objects()) == 1
    assert ingest.outcomes[0]["sha256"] == ingest.outcomes[1]["sha256"] != ""


@pytest.mark.feature("22")
@pytest.mark.parametrize("repeat", [{"attempt": 2}, {"header": "1"}], ids=["new attempt", "redelivery"])
def test_a_repetition_finds_the_object_before_encoding(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest, repeat: dict[str, Any]
) -> None:
    """A later attempt reports what an earlier one stored, without encoding or uploading again."""
    body = task(origin.on("/a.png", answer(pictures.encoded(pictures.quadrants(), "PNG"))))
    body["options"]["format"] = "keep"
    service.post(body)
    (before,) = service.objects()

    header = {"X-CloudTasks-TaskRetryCount": repeat["header"]} if "header" in repeat else {}
    response = service.post(body | {"attempt": repeat.get("attempt", 1)}, **header)

    assert response.status_code == 200
    assert service.objects()[0].generation == before.generation
    assert ingest.outcomes[1]["output_url"] == ingest.outcomes[0]["output_url"]
    assert (ingest.outcomes[1]["width"], ingest.outcomes[1]["height"]) == (160, 96)


def test_a_rendition_of_more_than_8_mib_is_stored_too(service: Service) -> None:
    """Google's client sends it in a resumable session instead of one request."""
    data = bytes(9 * 1024 * 1024)
    store = ImageStore(service.bucket.client, bucket=service.bucket.name, public_url_base="https://cdn.example/")
    stored = store.create(ObjectKey("0" * 64, Options()), Rendition(data, OutputFormat.PNG, 3, 4))

    (found,) = service.objects()
    assert (found.size, found.content_type, found.metadata["height"]) == (len(data), "image/png", "4")
    assert stored.url == f"https://cdn.example/{service.bucket.name}/{found.name}"
    assert store.find(ObjectKey("0" * 64, Options()), OutputFormat.JPEG) is None


@pytest.mark.feature("22")
@pytest.mark.fault("C3")
def test_equal_pictures_of_different_urls_share_one_object(service: Service, origin: ScriptedOrigin) -> None:
    """Objects are named by content, not by URL or batch."""
    source = pictures.photo_jpeg(64, 48)
    service.post(task(origin.on("/a.jpg", answer(source))))
    service.post(task(origin.on("/b.jpg", answer(source))))

    assert len(service.objects()) == 1


@pytest.mark.feature("22", "53")
def test_other_options_make_another_object(service: Service, origin: ScriptedOrigin) -> None:
    """Quality, format and limits are part of the name."""
    url = origin.on("/a.jpg", answer(pictures.photo_jpeg(64, 48)))
    for options in ({"quality": 50}, {"quality": 51}, {"format": "webp"}, {"max_width": 32}, {"max_height": 32}):
        service.post(task(url, options={"quality": 50, "format": "jpeg"} | options))

    assert len(service.objects()) == 5


def test_limits_and_format_reach_the_codec(service: Service, origin: ScriptedOrigin, ingest: RecordingIngest) -> None:
    """A WebP of at most 100 px comes out when that was asked for."""
    options = {"quality": 60, "format": "webp", "max_width": 100, "max_height": None}
    service.post(task(origin.on("/a.jpg", answer(pictures.photo_jpeg(400, 200))), options=options))

    (stored,) = service.objects()
    picture = Image.open(io.BytesIO(stored.download_as_bytes()))

    assert (picture.format, picture.size, stored.content_type) == ("WEBP", (100, 50), "image/webp")
    assert (ingest.outcomes[0]["width"], ingest.outcomes[0]["height"], ingest.outcomes[0]["format"]) == (
        100,
        50,
        "webp",
    )


def test_notes_of_the_codec_are_in_the_detail(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """What was done beyond the plain job can be read in the outcome."""
    service.post(task(origin.on("/a.gif", answer(pictures.animation("GIF")))))

    assert (ingest.outcomes[0]["code"], ingest.outcomes[0]["detail"]) == ("OK", "FIRST_FRAME")


@pytest.mark.fault("D14")
def test_a_missing_image_is_an_outcome_and_a_success_of_the_task(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """404 at the origin: 200 to Cloud Tasks, a permanent failure to ingest, nothing stored."""
    response = service.post(task(origin.url("/missing.jpg")))

    assert (response.status_code, response.json["outcome"], response.json["code"]) == (200, "FAILED", "HTTP_4XX")
    contract("compress_response").validate(response.json)
    (outcome,) = ingest.outcomes
    assert (outcome["code"], outcome["detail"], outcome["transient"]) == ("HTTP_4XX", "HTTP 404", False)
    assert service.objects() == []


def test_an_overloaded_origin_is_a_transient_outcome_not_a_503(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """Cloud Tasks must not slow the whole queue for one bad host; ingest dispatches that image again."""
    url = origin.on("/a.jpg", answer(b"slow down", status=429, headers=[("retry-after", "7")]))
    response = service.post(task(url))

    assert response.status_code == 200
    (outcome,) = ingest.outcomes
    assert (outcome["code"], outcome["transient"], outcome["retry_after_s"]) == ("RATE_LIMITED", True, 7)


@pytest.mark.feature("43")
@pytest.mark.fault("D16")
def test_a_page_served_as_an_image_is_told_what_it_is(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """HTML with status 200 and type image/jpeg is NOT_AN_IMAGE; what was fetched is still counted."""
    url = origin.on("/a.jpg", answer(pictures.HTML_PAGE, headers=[("Content-Type", "image/jpeg")]))
    service.post(task(url))

    (outcome,) = ingest.outcomes
    assert (outcome["code"], outcome["detail"]) == ("NOT_AN_IMAGE", "it looks like an HTML page")
    assert outcome["bytes_in"] == len(pictures.HTML_PAGE)


def test_a_url_to_a_private_address_is_never_dialled(
    make_service: Any, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """With the production policy the loopback origin sees no connection."""
    service = make_service(EGRESS_ALLOWED_NETWORKS="")
    service.post(task(origin.url("/a.jpg")))

    assert ingest.outcomes[0]["code"] == "URL_FORBIDDEN"
    assert origin.connections == 0


@pytest.mark.parametrize(
    ("status", "canonical"), [(404, "NOT_FOUND"), (409, "ABORTED")], ids=["unknown image", "finished batch"]
)
def test_an_outcome_that_nobody_wants_ends_the_task(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest, status: int, canonical: str
) -> None:
    """Ingest's 404 and 409 leave nothing to retry: 200, applied false."""
    ingest.refuse(status, canonical, "IMAGE_NOT_FOUND")
    response = service.post(task(origin.on("/a.jpg", answer(pictures.photo_jpeg(64, 48)))))

    assert (response.status_code, response.json["applied"]) == (200, False)


@pytest.mark.parametrize(
    ("status", "canonical"),
    [(503, "UNAVAILABLE"), (500, "INTERNAL"), (403, "PERMISSION_DENIED"), (429, "RESOURCE_EXHAUSTED")],
)
def test_an_outcome_that_ingest_cannot_take_brings_the_task_again(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest, status: int, canonical: str
) -> None:
    """Ingest down or refusing us is our trouble: 503 with Retry-After; the stored object is found next time."""
    ingest.refuse(status, canonical, "TROUBLE")
    url = origin.on("/a.jpg", answer(pictures.photo_jpeg(64, 48)))
    response = service.post(task(url))

    assert response.status_code == 503
    contract("error").validate(response.json)
    assert response.json["error"]["details"][0]["reason"] == "OUTCOME_NOT_RECORDED"
    assert int(response.headers["Retry-After"]) > 0
    assert len(service.objects()) == 1


def test_an_unreachable_ingest_is_503(make_service: Any, origin: ScriptedOrigin) -> None:
    """Nothing listens at ingest's address."""
    with ScriptedOrigin() as gone:
        address = gone.url("").rstrip("/")
    response = make_service(INGEST_INTERNAL_URL=address).post(task(origin.url("/missing.jpg")))

    assert response.status_code == 503


@pytest.mark.fault("C5")
@pytest.mark.threat("T16")
@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "STORAGE_REFUSED"), (403, "STORAGE_REFUSED"), (404, "STORAGE_REFUSED")],
    ids=["token expired", "permission gone", "bucket gone"],
)
def test_a_refusing_storage_is_503_and_never_the_images_fault(
    make_service: Any, origin: ScriptedOrigin, ingest: RecordingIngest, status: int, reason: str
) -> None:
    """The image stays open at ingest: no outcome is recorded."""
    with ScriptedOrigin() as refusing:
        refusing.on("/", answer(b"{}", status=status, headers=[("Content-Type", "application/json")]))
        service = make_service(api_endpoint=refusing.url("").rstrip("/"))
        response = service.post(task(origin.on("/a.jpg", answer(pictures.photo_jpeg(64, 48)))))

    assert response.status_code == 503
    assert response.json["error"]["details"][0]["reason"] == reason
    assert ingest.outcomes == []


@pytest.mark.fault("C1")
def test_a_failing_storage_is_503_within_its_deadline(
    make_service: Any, origin: ScriptedOrigin, ingest: RecordingIngest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Storage's 503 is retried by the client until its deadline, here half a second, then handed to Cloud Tasks."""
    from compressor.clients import bucket_objects

    monkeypatch.setattr(
        bucket_objects, "RETRY", bucket_objects.RETRY.with_timeout(0.5).with_delay(initial=0.1, maximum=0.1)
    )
    with ScriptedOrigin() as failing:
        failing.on("/", answer(b"{}", status=503, headers=[("Content-Type", "application/json")]))
        service = make_service(api_endpoint=failing.url("").rstrip("/"))
        response = service.post(task(origin.on("/a.jpg", answer(pictures.photo_jpeg(64, 48)))))
        tries = len(failing.received)

    assert response.status_code == 503
    assert response.json["error"]["details"][0]["reason"] == "STORAGE_UNAVAILABLE"
    assert ingest.outcomes == []
    assert tries > 1


@pytest.mark.fault("C2")
def test_an_upload_whose_answer_was_lost_is_a_success(
    make_service: Any, origin: ScriptedOrigin, ingest: RecordingIngest, storage_emulator: Any
) -> None:
    """The write was applied and the connection died; the retry meets 412, and the object is read back."""
    with ScriptedOrigin() as proxy:
        lost = threading.Event()

        def forward(exchange: Exchange) -> None:
            request = exchange.request
            forwarded = requests.request(
                request.method,
                storage_emulator.base_url + request.target,
                data=request.body,
                headers={"content-type": request.headers.get("content-type", "")},
                timeout=10,
            )
            if request.method == "POST" and not lost.is_set():
                lost.set()
                return
            kind = [("Content-Type", forwarded.headers.get("Content-Type", ""))]
            answer(forwarded.content, status=forwarded.status_code, headers=kind)(exchange)

        proxy.on("/", forward)
        service = make_service(api_endpoint=proxy.url("").rstrip("/"))
        response = service.post(task(origin.on("/a.jpg", answer(pictures.photo_jpeg(64, 48)))))
        uploads = [request for request in proxy.received if request.method == "POST"]

    assert response.status_code == 200, response.text
    assert len(uploads) == 2
    assert len(service.objects()) == 1
    assert ingest.outcomes[0]["bytes_out"] == service.objects()[0].size


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": ""}, "url"),
        ({"url": "http://a.example/" + "x" * 2083}, "url"),
        ({"attempt": 0}, "attempt"),
        ({"image_id": "../../etc"}, "image_id"),
        ({"request_id": str(uuid.uuid4()).upper()}, "request_id"),
        ({"options": {"quality": 0, "format": "jpeg"}}, "options.quality"),
        ({"options": {"quality": 50, "format": "heic"}}, "options.format"),
        ({"options": {"quality": 50, "format": "jpeg", "max_width": 0}}, "options.max_width"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_body_against_the_contract_is_400_naming_the_field(
    service: Service, change: dict[str, Any], field: str
) -> None:
    """What the schema refuses the route refuses too, with the field's name."""
    body = task("http://a.example/a.jpg") | change
    assert not contract("compress_request").is_valid(body)

    response = service.post(body)

    assert response.status_code == 400
    contract("error").validate(response.json)
    violations = response.json["error"]["details"][2]["fieldViolations"]
    assert [violation["field"] for violation in violations] == [field]


def test_a_body_that_is_no_json_is_400(service: Service) -> None:
    """Broken JSON is the caller's fault, not a crash."""
    token = service.issuer.mint_id_token("tasks@pressroom.iam.gserviceaccount.com", AUDIENCE)
    response = service.app.test_client().post(
        "/compress",
        data=b"{not json",
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}"},
    )

    assert response.status_code == 400
    contract("error").validate(response.json)


def test_fetches_run_while_another_image_is_decoded_one_at_a_time(make_service: Any, origin: ScriptedOrigin) -> None:
    """A slow origin does not hold the codec: a second image passes it while the first is still being fetched."""
    service = make_service(CODEC_CONCURRENCY="1")
    release = threading.Event()
    source = pictures.photo_jpeg(64, 48)

    def held(exchange: Exchange) -> None:
        exchange.send(head(200, [("Content-Length", str(len(source)))]) + source[:10])
        release.wait(10)
        exchange.send(source[10:])

    slow = threading.Thread(target=service.post, args=(task(origin.on("/slow.jpg", held)),))
    slow.start()
    response = service.post(task(origin.on("/fast.jpg", answer(pictures.photo_jpeg(80, 60)))))
    was_slow = slow.is_alive()
    release.set()
    slow.join(10)

    assert response.json["outcome"] == "SUCCEEDED"
    assert was_slow
    assert len(service.objects()) == 2


REFUSING = [("X-Robots-Tag", "noai")]


def test_an_origins_refusal_stands_in_the_outcome(
    service: Service, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """Beside the codec's own notes, and not with the object, which other origins may share."""
    body = task(origin.on("/a.jpg", answer(pictures.photo_jpeg(64, 48), headers=REFUSING)))

    service.post(body)

    assert ingest.outcomes[0]["detail"].split(", ")[0] == "ROBOTS_TAG"
    assert all("ROBOTS_TAG" not in str(stored.metadata) for stored in service.objects())


def test_an_operator_may_leave_refused_images_alone(
    make_service: Any, origin: ScriptedOrigin, ingest: RecordingIngest
) -> None:
    """`ROBOTS_POLICY=skip`: a permanent outcome, and nothing is stored."""
    service = make_service(ROBOTS_POLICY="skip")

    service.post(task(origin.on("/a.jpg", answer(pictures.photo_jpeg(64, 48), headers=REFUSING))))

    assert (ingest.outcomes[0]["code"], ingest.outcomes[0]["transient"]) == ("ROBOTS_FORBIDDEN", False)
    assert list(service.objects()) == []


@pytest.mark.feature("26")
@pytest.mark.threat("T9")
def test_an_origin_learns_whom_to_ask(make_service: Any, origin: ScriptedOrigin) -> None:
    """Product, version and the operator's contact are in the User-Agent."""
    service = make_service(CONTACT_URL="https://shop.example/fetches")

    service.post(task(origin.on("/a.jpg", answer(pictures.photo_jpeg(64, 48)))))

    assert origin.received[0].headers["user-agent"] == "Pressroom/0.1 (+https://shop.example/fetches)"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CONTACT_URL", "shop.example"),
        ("CONTACT_URL", "https://a b"),
        ("USER_AGENT", "Nobody"),
        ("ROBOTS_POLICY", "no"),
    ],
)
def test_a_name_that_names_nobody_is_refused_at_the_start(make_service: Any, variable: str, value: str) -> None:
    """As is a policy that there is not."""
    with pytest.raises(SettingsError, match=variable):
        make_service(**{variable: value})
