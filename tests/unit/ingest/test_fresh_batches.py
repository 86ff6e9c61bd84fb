"""A batch costs the same a second after its upload as later: blocks read are counted, on statistics that lack it.

Each use case runs on a batch of 1,000 and on one of 40,000 images, beside other large batches. The tables are never
vacuumed or analysed by themselves: either there are no statistics at all, or they are older than both batches.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import islice
from typing import Any
from uuid import UUID

import psycopg2
import pytest

from chassis.auth.callers import SYSTEM
from chassis.db.engine import new_engine, transact
from chassis.http.page_tokens import page_token
from ingest.batches.backlog import check_backlog
from ingest.batches.cancel import cancel_batch
from ingest.batches.estimate import estimate
from ingest.batches.export import export_batch
from ingest.batches.hosts import read_hosts
from ingest.batches.images import MAX_SCANNED_IMAGES, ImageFilter, list_images, scope_of
from ingest.batches.problems import list_problems
from ingest.batches.quotas import read_use
from ingest.batches.retry import retry_batch
from ingest.batches.sheet_errors import limits_from
from ingest.batches.status import list_batches, read_products, read_summary
from ingest.batches.submit import Submission, submit_upload
from ingest.dispatch.claim import claim_page
from ingest.dispatch.outcome import record_outcome
from ingest.migrate import upgrade
from ingest.options import ImageOptions
from ingest.sheets.intake import read_sheet
from ingest.sheets.model import Sheet, SheetLimits
from ingest.state.images import Outcome
from ingest.state.retention import MAX_DELETED_ROWS, delete_page
from ingest.supervision.finish import finish_batch
from ingest.supervision.ownership import start_batch
from ingest.supervision.start import process_batch
from ingest.supervision.sweep import Sweep
from localcloud.identity.engine.issuer import TokenIssuer
from localcloud.stack.postgres import Postgres
from support.ingest_service import Lab, sheet_of
from support.statement_costs import Cost, statement_costs

SMALL, LARGE = 1000, 40_000
TABLES = ("batches", "rows", "images", "hosts", "batch_hosts", "outbox", "idempotency_keys")
POLITE = {
    "INGEST_HOST_FIRST_RATE": "5",
    "INGEST_HOST_MAX_RATE": "500",
    "INGEST_HOST_MAX_CONCURRENCY": "64",
    "INGEST_MAX_IN_FLIGHT": "100",
    "INGEST_MAX_OPEN_IMAGES": "10000000",
    "INGEST_MAX_BACKLOG_S": "100000",
}
BY_PAGE = (
    "status",
    "status of the last page",
    "summary",
    "images of the last page",
    "hosts",
    "list",
    "console: list",
    "console: images",
    "console: update",
    "quotas",
    "backlog",
    "estimate",
    "process",
    "start",
    "first claim",
    "second claim",
    "claim after a lost worker",
    "success",
    "trouble",
    "sweep without work",
    "finish",
)
SCANS = ("search without a find", "no image of a code", "failed images", "problems")
WHOLE = ("export", "cancel", "retry", "deadline", "unreachable host", "retention")

Costs = dict[str, dict[int, list[Cost]]]


@pytest.fixture(scope="module")
def beside(postgres: Postgres, certs_url: str, issuer: TokenIssuer) -> str:
    """Give the name of a database with two large batches; nobody is connected to it, so that it can be copied."""
    name = f"beside_{uuid.uuid4().hex}"
    postgres.create_database(name)
    upgrade(postgres.url(name))
    engine = new_engine(postgres.url(name), pool_size=8)
    lab = Lab(engine, certs_url, issuer, POLITE)
    for table in TABLES:
        lab.change(f"ALTER TABLE {table} SET (autovacuum_enabled = false)")
    for _ in range(2):
        submit(lab, LARGE)
    engine.dispose()
    return name


@pytest.fixture(scope="module", params=["never analysed", "analysed before"])
def costs(
    request: pytest.FixtureRequest, postgres: Postgres, beside: str, certs_url: str, issuer: TokenIssuer
) -> Iterator[Costs]:
    """Give the costs of each use case by the size of the batch."""
    name = f"fresh_{uuid.uuid4().hex}"
    connection = psycopg2.connect(postgres.url("postgres"))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {beside}")
    connection.close()
    engine = new_engine(postgres.url(name), pool_size=8)
    lab = Lab(engine, certs_url, issuer, POLITE)
    if request.param == "analysed before":
        lab.change("ANALYZE")
    found: Costs = {}
    for size in (SMALL, LARGE):
        measure(lab, submit(lab, size), size, found)
    yield found
    engine.dispose()


@pytest.mark.parametrize("what", BY_PAGE)
def test_work_by_the_page_does_not_grow_with_the_batch(costs: Costs, what: str) -> None:
    """Nor with what other batches have."""
    small, large = costs[what][SMALL], costs[what][LARGE]
    assert total(large) <= 1.5 * total(small) + 300, told(large)
    assert total(large) <= 5000, told(large)


@pytest.mark.parametrize("what", SCANS)
def test_a_filter_looks_at_a_bounded_number_of_images(costs: Costs, what: str) -> None:
    """Whatever it finds; what looks only at images that failed, of which there are none, costs nearly nothing."""
    large, finds_none = costs[what][LARGE], what in {"failed images", "problems"}
    assert total(large) <= (300 if finds_none else 5 * MAX_SCANNED_IMAGES), told(large)


@pytest.mark.parametrize("what", WHOLE)
def test_work_on_the_whole_batch_grows_with_it_only(costs: Costs, what: str) -> None:
    """Forty times the images cost forty times as much, a bounded number of blocks each."""
    small, large = costs[what][SMALL], costs[what][LARGE]
    assert total(large) <= 1.5 * LARGE / SMALL * total(small), told(large)
    assert total(large) <= 40 * LARGE, told(large)


def test_a_page_of_retention_deletes_a_bounded_number_of_rows(costs: Costs) -> None:
    """Each with its images, here two: a few blocks for each, whatever else the batch has."""
    first = costs["first page of retention"][LARGE]
    assert total(first) <= 5 * MAX_DELETED_ROWS, told(first)


def opened(lab: Lab, path: str) -> None:
    """Open a page of the console."""
    assert lab.client().get(path).status_code == 200


def total(costs: list[Cost]) -> int:
    """Return the blocks of several statements."""
    return sum(cost.buffers for cost in costs)


def told(costs: list[Cost]) -> str:
    """Return the statements that cost most, for the message of a failure."""
    return "\n".join(f"{cost.buffers:>9} {cost.title}" for cost in sorted(costs, key=lambda cost: -cost.buffers)[:3])


def submit(lab: Lab, images: int) -> UUID:
    """Store a batch with two images a row, from twenty hosts."""
    body, sheet = sheet_with(images, limits_from(lab.settings))
    request_id = uuid.uuid4()
    submission = Submission(sheet, body, "sheet.csv", ImageOptions(), None)
    submit_upload(lab.engine, lab.settings, submission, request_id=request_id, response={}, key=None)
    return request_id


@cache
def sheet_with(images: int, limits: SheetLimits) -> tuple[bytes, Sheet]:
    """Return the same sheet to all batches of a size: to read a large one takes seconds."""
    urls = (f"https://h{number % 20}.example/{uuid.uuid4().hex}.jpg" for number in range(images))
    body = sheet_of(*(", ".join(pair) for pair in iter(lambda: list(islice(urls, 2)), []))).encode()
    return body, read_sheet(body, limits)


def measure(lab: Lab, batch: UUID, size: int, found: Costs) -> None:
    """Lead a batch through its life, twice, and keep what each step costs."""
    engine, settings = lab.engine, lab.settings
    execution = lab.new_execution()

    def run(what: str, work: Callable[[], Any]) -> Any:
        with statement_costs(engine) as counted:
            result = work()
        found.setdefault(what, {})[size] = counted
        return result

    def status(token: str = "") -> Any:
        return read_products(engine, settings, batch, caller=SYSTEM, page_size=100, token=token)

    def images_of(wanted: ImageFilter, row: int = 0) -> Any:
        token = page_token(scope_of(batch, wanted), (row, 1)) if row else ""
        return list_images(engine, batch, wanted, caller=SYSTEM, page_size=100, token=token)

    def claim() -> Any:
        return claim_page(engine, settings, batch, execution=execution, max_rows=100)

    def report(image: Any, **changes: Any) -> Any:
        values: dict[str, Any] = {
            "succeeded": True,
            "transient": False,
            "code": "OK",
            "output_url": "http://x.test/y",
        } | changes
        outcome = Outcome(request_id=batch, attempt=image.payload["attempt"], detail="", **values)
        return record_outcome(engine, settings, UUID(image.payload["image_id"]), outcome)

    run("status", status)
    # Rows of the sheet are numbered as in the file: the header is the first line.
    run("status of the last page", partial(status, page_token(str(batch), size // 2 - 100)))
    run("summary", lambda: read_summary(engine, batch, caller=SYSTEM))
    run("images of the last page", partial(images_of, ImageFilter(), row=size // 2 - 100))
    run("search without a find", partial(images_of, ImageFilter(words="nowhere")))
    run("no image of a code", partial(images_of, ImageFilter(code="HTTP_404")))
    run("failed images", partial(images_of, ImageFilter(status="FAILED")))
    run("problems", lambda: list_problems(engine, batch, caller=SYSTEM))
    run("hosts", lambda: read_hosts(engine, settings, batch, caller=SYSTEM, limit=1000))
    run("list", lambda: list_batches(engine, caller=SYSTEM, status=None, page_size=100, token=""))
    for what, path in {"list": "", "images": f"/{batch}", "update": f"/{batch}/live"}.items():
        run(f"console: {what}", partial(opened, lab, f"/console/batches{path}"))
    run("quotas", lambda: transact(engine, partial(read_use, owner=None)))
    run("backlog", lambda: transact(engine, partial(check_backlog, settings=settings)))
    facts = read_sheet(sheet_of("https://a.example/1.jpg").encode(), limits_from(settings)).facts
    run("estimate", lambda: estimate(engine, settings, facts, owner=None))
    run("process", lambda: process_batch(engine, lab.executions, batch))
    run("start", lambda: start_batch(engine, lab.executions, batch, execution=execution, callback_url="http://x.test"))
    lab.change("UPDATE batches SET execution = :e WHERE request_id = :b", e=execution, b=batch)
    images = run("first claim", claim).images
    run("second claim", claim)
    run("success", partial(report, images[0]))
    run("trouble", partial(report, images[1], succeeded=False, transient=True, code="HTTP_503", output_url=None))
    lab.change("UPDATE images SET lease_until = now() - interval '1 s' WHERE id = :i", i=images[2].payload["image_id"])
    run("claim after a lost worker", claim)
    lab.change("DELETE FROM outbox")
    lab.change("UPDATE batches SET heartbeat_at = now()")
    run("sweep without work", lambda: Sweep(lab.dependencies).run())
    run("export", lambda: sum(1 for _line in export_batch(engine, batch)))
    run("cancel", lambda: cancel_batch(engine, batch))
    run("finish", lambda: finish_batch(engine, settings, batch, execution=None, report_uri="gs://x/y"))
    run("retry", lambda: retry_batch(engine, settings, batch))
    lab.change("UPDATE hosts SET failures = 99, opened_at = now() - interval '1 day' WHERE host < 'h11'")
    lab.change("UPDATE images SET next_at = now() - interval '1 day' WHERE batch = :b", b=batch)
    run("unreachable host", lambda: claim_page(engine, settings, batch, execution=None, max_rows=1))
    lab.change("UPDATE batches SET deadline_at = now() WHERE request_id = :b", b=batch)
    run("deadline", lambda: Sweep(lab.dependencies).run())
    finish_batch(engine, settings, batch, execution=None, report_uri="gs://x/y")
    lab.change("DELETE FROM outbox")
    lab.change("UPDATE batches SET finished_at = now() - interval '99 days' WHERE request_id = :b", b=batch)
    lab.change("UPDATE hosts SET failures = 0, opened_at = NULL, blocked_until = now()")

    def delete() -> Any:
        return transact(engine, partial(delete_page, days=30))

    pages = [run("first page of retention", delete), *run("retention", lambda: list(iter(delete, None)))]
    found["retention"][size] += found["first page of retention"][size]
    assert [page.whole for page in pages if page.request_id == batch][-1]
