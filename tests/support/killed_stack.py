"""A stack that can be hurt in many places, one sheet, and what a run of it must leave behind whatever happened."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import requests
from samples.catalogue import SampleFile
from samples.origin import Origin
from samples.photos import encoded, photo
from samples.receiver import Receiver

from compressor.failpoints import Failpoint as CompressorFailpoint
from ingest.failpoints import Failpoint as IngestFailpoint
from localcloud.stack.blocking import Stack
from localcloud.stack.config import ProcessSetting, StackConfig
from reporter.failpoints import Failpoint as ReporterFailpoint
from support.recording_proxy import Tap
from support.shop_client import FINAL, Shop, eventually, sheet_of

IMAGES = 5
WITHIN_S = 60
LARGE_BYTES = 10_000
"""A larger sheet is imported in chunks here."""

DECLARED: dict[str, type[StrEnum]] = {
    "ingest": IngestFailpoint,
    "compressor": CompressorFailpoint,
    "reporter": ReporterFailpoint,
}
TAPPED = ("ingest-internal", "compressor", "reporter-internal", "storage")
"""What is called through a tap: every door of ours that other parts call."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run leaves behind that must not depend on what went wrong on the way."""

    status: str
    counts: dict[str, int]
    sheet: bytes
    failed_sheet: bytes
    objects: frozenset[str]
    images_by_status: dict[str, int]


class Bench:
    """The stack with all failpoints armed and none loaded, an origin, a subscriber, and the run of one sheet."""

    def __init__(self, stack: Stack, taps: dict[str, Tap], origin: Origin, receiver: Receiver, tickets: Path) -> None:
        self.stack = stack
        self.shop = Shop(stack)
        self.origin = origin
        self.receiver = receiver
        self.taps = taps
        self._tickets = tickets
        base = origin.base_url
        self.sheet = sheet_of(
            [
                [f"{base}/0.jpg", f"{base}/1.jpg", f"{base}/missing.jpg"],
                [f"{base}/2.jpg", f"{base}/0.jpg"],
                [f"{base}/3.jpg", f"{base}/4.jpg"],
            ]
        )

    def load(self, failpoint: str, at_time: int) -> None:
        """Let a failpoint act when it is reached for the `at_time`-th time."""
        for number in range(1, at_time + 1):
            (self._tickets / f"{failpoint}.{number}").touch()

    def is_loaded(self) -> bool:
        """Tell whether the loaded failpoint has not acted yet."""
        return any(self._tickets.iterdir())

    def kill_platform_at(self, route: str) -> list[str]:
        """Kill localcloud when a call has had its effect on a service, before the answer; return the list of kills."""
        kills: list[str] = []

        def strike(crossed: str) -> None:
            if crossed == route and not kills:
                kills.append(crossed)
                self.stack.kill("localcloud")

        for tap in self.taps.values():
            tap.before_answer = strike
        return kills

    def forbid_executions(self) -> None:
        """Let no execution be created."""
        self.order("workflows", route="executions.create", fault="fail", count=1000)

    def calm(self) -> None:
        """Take back everything that was ordered."""
        for tap in self.taps.values():
            tap.before_answer = tap.instead = None
        for server in ("tasks", "workflows"):
            requests.delete(f"{self.stack.url(server)}/_local/faults", timeout=10).raise_for_status()

    def order(self, server: str, **fault: Any) -> None:
        """Order a fault of an emulated server, `tasks` or `workflows`."""
        requests.post(f"{self.stack.url(server)}/_local/faults", json=fault, timeout=10).raise_for_status()

    def fired(self, server: str) -> int:
        """Return how often the ordered faults of a server have happened."""
        plan = requests.get(f"{self.stack.url(server)}/_local/faults", timeout=10).json()
        return sum(int(fault["fired"]) for fault in plan["faults"])

    def run(
        self,
        *,
        leased: bool = False,
        stored: bool = False,
        known: bool = False,
        after_upload: Callable[[str], None] = lambda _request_id: None,
        is_over: Callable[[], bool] = lambda: True,
    ) -> tuple[str, Result]:
        """Upload the sheet, bring it to its end as time would, and return what is left; nothing may be left undone.

        Args:
            leased: end the leases that the dead process held, once the loaded failpoint has acted.
            stored: let the sheet lie in Cloud Storage, too large to be read by its upload.
            known: let what earlier runs found be known, and their host be fast.
            after_upload: called with the request id.
            is_over: whether the trouble has happened; the run goes on until it has.
        """
        if known:
            self._do("pressroom_ingest", "UPDATE hosts SET floor_log_s = ln(0.02), failures = 0")
        else:
            self._forget_images()
        self.origin.hits.clear()
        batches = self._one("pressroom_ingest", "SELECT count(*) FROM batches")
        request_id = self._upload(stored=stored)
        after_upload(request_id)
        if leased:
            self._after_death(request_id)
        eventually(lambda: (self._is_quiet(request_id) and is_over()) or None, within_s=WITHIN_S, what="all is done")
        assert self._one("pressroom_ingest", "SELECT count(*) FROM batches") == batches + 1
        rows = self._rows(
            "pressroom_ingest", "SELECT status, count(*) FROM images WHERE batch = %s GROUP BY status", request_id
        )
        status = self.shop.status(request_id)
        return request_id, Result(
            status["status"],
            status["counts"],
            self.shop.sheet(request_id),
            self.shop.sheet(request_id, "failed.csv"),
            frozenset(self.shop.stored_objects()),
            dict(rows),
        )

    def attempts(self, request_id: str) -> int:
        """Return the most attempts that an image of the batch took."""
        return int(self._one("pressroom_ingest", "SELECT max(attempt) FROM images WHERE batch = %s", request_id))

    def deliveries(self, request_id: str) -> list[tuple[str, str]]:
        """Return state and message id of each delivery of the batch."""
        return [
            (str(state), str(message_id))
            for state, message_id in self._rows(
                "pressroom_reporter", "SELECT state, message_id FROM deliveries WHERE request_id = %s", request_id
            )
        ]

    def _after_death(self, request_id: str) -> None:
        """Sweep until the failpoint has acted, then end the leases that the dead process held."""

        def probe() -> bool | None:
            self._is_quiet(request_id)
            return None if self.is_loaded() else True

        eventually(probe, within_s=WITHIN_S, what="the failpoint acts")
        self._do("pressroom_ingest", "UPDATE outbox SET next_at = now() WHERE batch = %s", request_id)
        self._do(
            "pressroom_reporter",
            "UPDATE deliveries SET lease_until = now() - interval '1 s', sweep_time = now() - interval '1 s'"
            " WHERE request_id = %s AND lease_until IS NOT NULL",
            request_id,
        )

    def cut_connections(self, database: str) -> int:
        """End all other sessions of a database; return how many there were."""
        return len(
            self._rows(
                database,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
        )

    def _upload(self, *, stored: bool) -> str:
        """Upload as a careful client does: with a key, again when the connection breaks."""
        key = str(uuid.uuid4())
        form = {"webhook_url": self.receiver.url}
        files = {} if stored else {"file": ("sheet.csv", self.sheet, "text/csv")}
        if stored:
            # The mark behind the last row is no row: the file is larger, and the sheet is the same.
            answer = requests.post(
                f"{self.stack.url('storage')}/upload/storage/v1/b/pressroom-sheets/o",
                params={"uploadType": "media", "name": "sheet.csv"},
                data=self.sheet + b"\x1a" + b"," * LARGE_BYTES,
                timeout=20,
            )
            answer.raise_for_status()
            form["csv_uri"] = "gs://pressroom-sheets/sheet.csv"
        for _ in range(5):
            try:
                answer = requests.post(
                    f"{self.stack.url('ingest')}/upload",
                    # A form without a file is a form of parts all the same.
                    files=files or {name: (None, value) for name, value in form.items()},
                    data=form if files else None,
                    headers={"Idempotency-Key": key},
                    timeout=20,
                )
            except requests.ConnectionError:
                continue
            assert answer.status_code == 202, answer.text
            return str(answer.json()["request_id"])
        raise AssertionError("the upload did not come through")

    def _is_quiet(self, request_id: str) -> bool:
        """Sweep, and tell whether the batch, its announcement and its delivery are through."""
        for service in ("ingest-internal", "reporter-internal"):
            try:
                answer = self.shop.internal_at(self.taps[service].url, "scheduler", "POST", "/internal/sweep")
            except (requests.ConnectionError, AssertionError):
                return False  # killed while it swept, or the metadata server is just restarted
            assert answer.status_code in {200, 503}, answer.text
        try:
            answer = requests.get(f"{self.stack.url('ingest')}/status/{request_id}", timeout=10)
        except requests.ConnectionError:
            return False
        assert answer.status_code in {200, 503}, answer.text
        if answer.status_code == 503 or answer.json()["status"] not in FINAL:
            time.sleep(0.2)
            return False
        outbox = self._one("pressroom_ingest", "SELECT count(*) FROM outbox WHERE batch = %s", request_id)
        if outbox:
            # An announcement that met a dying reporter waits for a minute: its lease is ended instead of waiting.
            self._do("pressroom_ingest", "UPDATE outbox SET next_at = now() WHERE batch = %s", request_id)
        return outbox == 0 and {state for state, _ in self.deliveries(request_id)} == {"DELIVERED"}

    def _forget_images(self) -> None:
        # What is known of a URL goes too: with it, an image whose object is gone is asked for twice.
        self._rows("pressroom_ingest", "DELETE FROM known_sources")
        bucket = f"{self.stack.url('storage')}/storage/v1/b/pressroom-images/o"
        for name in self.shop.stored_objects():
            requests.delete(f"{bucket}/{name.replace('/', '%2F')}", timeout=10).raise_for_status()

    def _rows(self, database: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self.stack.database_url(database))
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def _do(self, database: str, statement: str, *values: Any) -> None:
        self._rows(database, statement, *values)

    def _one(self, database: str, statement: str, *values: Any) -> Any:
        return self._rows(database, statement, *values)[0][0]


@contextmanager
def running_bench(folder: Path, run_stack: Callable[..., Any]) -> Iterator[Bench]:
    """Run the stack with every failpoint armed and a tap before each service and before Cloud Storage.

    Args:
        folder: state of the stack, and the tickets.
        run_stack: `running_stack` of the conftest.
    """
    tickets = folder / "tickets"
    tickets.mkdir()
    holder: dict[str, Stack] = {}
    with ExitStack() as cleanup:
        files = {f"/{n}.jpg": SampleFile("image/jpeg", encoded(photo(160, 120, seed=n), "JPEG")) for n in range(IMAGES)}
        origin = cleanup.enter_context(Origin(files))

        def url_of(name: str) -> str:
            return holder["stack"].url(name)  # the stack starts behind the taps

        taps = {name: cleanup.enter_context(Tap(partial(url_of, name))) for name in TAPPED}

        def armed(process: ProcessSetting) -> ProcessSetting:
            orders = ",".join(f"{failpoint}:kill" for failpoint in DECLARED[process.name.removesuffix("-internal")])
            mine = {"FAILPOINTS": orders, "FAILPOINTS_DIR": str(tickets)}
            if process.name.startswith("ingest"):
                mine |= {"INGEST_SHEET_BUCKETS": "pressroom-sheets", "INGEST_MAX_SHEET_BYTES": str(LARGE_BYTES)}
            if process.name.startswith("reporter"):
                mine |= {"WEBHOOK_RETRY_SCHEDULE_S": "1,1,1,1,1,1", "WEBHOOK_HINT_GRACE_S": "1"}
            return replace(process, environment={**process.environment, **mine})

        def change(config: StackConfig) -> StackConfig:
            through = {f"${{url.{name}}}": tap.url for name, tap in taps.items()}

            def tapped(texts: Any) -> dict[str, str]:
                return {key: through.get(value, value) for key, value in texts.items()}

            return replace(
                config,
                environment=tapped(config.environment),
                workflows_environment=tapped(config.workflows_environment),
                processes=tuple(armed(process) for process in config.processes),
            )

        stack = cleanup.enter_context(
            run_stack(
                folder / "stack",
                change=change,
                INGEST_LEASE_S="3",
                INGEST_HEARTBEAT_TIMEOUT_S="1",
                INGEST_START_GRACE_S="1",
                INGEST_NOTIFY_GRACE_S="1",
            )
        )
        holder["stack"] = stack
        receiver = cleanup.enter_context(Receiver(stack.exports["WEBHOOK_SIGNING_SECRET"]))
        yield Bench(stack, taps, origin, receiver, tickets)


def check(bench: Bench, request_id: str, result: Result, undisturbed: Result) -> None:
    """Nothing lost, nothing doubled, nothing different."""
    assert result == undisturbed
    assert bench.attempts(request_id) <= 3
    assert max(bench.origin.hits.values()) <= 3
    ((state, message_id),) = bench.deliveries(request_id)
    received = [item for item in bench.receiver.received if item.event["request_id"] == request_id]
    assert state == "DELIVERED"
    assert {item.message_id for item in received} == {message_id}
    assert all(item.verified for item in received)
    assert all(item.event == received[0].event for item in received)
    assert 1 <= len(received) <= 2
