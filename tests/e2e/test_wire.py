"""What really crosses between workflow, queue and services has the form of its contract, delivered once or twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial

import pytest
from samples.catalogue import SampleFile
from samples.origin import Origin
from samples.photos import encoded, photo
from samples.receiver import Receiver

from e2e.conftest import running_stack
from localcloud.stack.blocking import Stack
from localcloud.stack.config import StackConfig
from support.payload_schemas import assert_matches, schema_of
from support.recording_proxy import Crossing, Tap
from support.shop_client import Shop, eventually, sheet_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

IMAGES = 40

# route -> contracts of request and successful answer; None: no JSON body of ours
CONTRACTS: dict[str, tuple[str | None, str | None]] = {
    "POST /internal/batches/{id}/start": ("start_request", "start_response"),
    "POST /internal/batches/{id}/claim": ("claim_request", "claim_response"),
    "POST /internal/batches/{id}/finish": ("finish_request", "finish_response"),
    "PUT /internal/images/{id}/outcome": ("outcome_request", "outcome_response"),
    "POST /compress": ("compress_request", "compress_response"),
    "POST /internal/reports": ("report_request", "report_response"),
    "POST /internal/notifications": ("notification_request", "notification_response"),
    "POST /internal/deliveries": ("delivery_request", "delivery_response"),
    "POST /internal/sweep": (None, "sweep_response"),
}


@dataclass(frozen=True, slots=True)
class Doubled:
    """A finished run in which every task was delivered twice."""

    shop: Shop
    request_id: str
    status: dict[str, object]
    crossings: list[Crossing]
    doubled: int
    receiver: Receiver
    origin: Origin


@pytest.fixture(name="run", scope="module")
def _run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doubled]:
    files = {f"/{n}.jpg": SampleFile("image/jpeg", encoded(photo(320, 240, seed=n), "JPEG")) for n in range(IMAGES)}
    holder: dict[str, Stack] = {}
    with ExitStack() as cleanup:
        origin = cleanup.enter_context(Origin(files))

        def url_of(name: str) -> str:
            return holder["stack"].url(name)  # the stack starts behind the taps

        taps = {
            name: cleanup.enter_context(Tap(partial(url_of, name), twice=True))
            for name in ("ingest-internal", "compressor", "reporter-internal")
        }

        def through_taps(config: StackConfig) -> StackConfig:
            def tapped(texts: object) -> dict[str, str]:
                assert isinstance(texts, dict)
                by_text = {f"${{url.{name}}}": tap.url for name, tap in taps.items()}
                return {key: by_text.get(str(value), str(value)) for key, value in texts.items()}

            return replace(
                config,
                environment=tapped(dict(config.environment)),
                workflows_environment=tapped(dict(config.workflows_environment)),
                processes=tuple(replace(p, environment=tapped(dict(p.environment))) for p in config.processes),
            )

        stack = cleanup.enter_context(running_stack(tmp_path_factory.mktemp("tapped"), change=through_taps))
        holder["stack"] = stack
        receiver = cleanup.enter_context(Receiver(stack.exports["WEBHOOK_SIGNING_SECRET"]))
        shop = Shop(stack)
        urls = [f"{origin.base_url}/{n}.jpg" for n in range(IMAGES)] + [f"{origin.base_url}/missing.jpg"]
        request_id = shop.upload(sheet_of([urls[i : i + 4] for i in range(0, len(urls), 4)]), webhook_url=receiver.url)
        status = shop.finished(request_id)
        assert receiver.wait_for(request_id, within_s=30) is not None
        # The delivery's answer crosses a moment after the receiver has it.
        eventually(
            lambda: any("deliveries" in c.route for tap in taps.values() for c in tap.crossings) or None,
            within_s=20,
            what="the delivery is answered",
        )
        for service in ("ingest-internal", "reporter-internal"):
            tap = taps[service]
            answer = shop.internal_at(tap.url, "scheduler", "POST", "/internal/sweep")
            assert answer.status_code == 200, answer.text
        crossings = [crossing for tap in taps.values() for crossing in tap.crossings]
        yield Doubled(shop, request_id, status, crossings, sum(t.doubled for t in taps.values()), receiver, origin)


@pytest.mark.fault("J5")
@pytest.mark.parametrize("route", CONTRACTS)
def test_route_sends_and_answers_its_contract(run: Doubled, route: str) -> None:
    """Every recorded payload of the route matches its schemas."""
    sent, answered = CONTRACTS[route]
    crossings = [crossing for crossing in run.crossings if crossing.route == route]

    assert crossings, f"nothing crossed {route}"
    for crossing in crossings:
        if sent is not None:
            assert_matches(sent, crossing.sent)
        if crossing.code >= 400:
            assert_matches("error", crossing.answered)
        elif answered is not None:
            assert_matches(answered, crossing.answered)


def test_export_stream_matches_its_contracts(run: Doubled) -> None:
    """Ingest's export is one batch line, one line per row and an end line, each as its schema says."""
    export = next(c for c in run.crossings if c.route == "GET /internal/batches/{id}/export")
    lines = [json.loads(line) for line in export.answered.splitlines()]

    assert [line["kind"] for line in lines] == ["batch", *["row"] * (len(lines) - 2), "end"]
    for line in lines:
        assert_matches(f"export_{line['kind']}", line)


@pytest.mark.fault("A4")
@pytest.mark.threat("T17")
def test_every_task_delivered_twice_changes_nothing(run: Doubled) -> None:
    """Counters, links and webhooks are those of single delivery although every task came twice at once."""
    assert run.doubled >= IMAGES
    assert run.status["counts"] == {"total": IMAGES + 1, "pending": 0, "succeeded": IMAGES, "failed": 1}
    links = [link for row in run.shop.rows(run.request_id)[1:] for link in row[3].split(",") if link]
    assert len(set(links)) == IMAGES
    assert len(run.shop.stored_objects()) == IMAGES
    assert len(run.receiver.received) == 1


def test_all_contracts_of_routes_exist() -> None:
    """The table above names real contracts."""
    for names in CONTRACTS.values():
        for name in names:
            if name is not None:
                assert schema_of(name)["title"] == name
