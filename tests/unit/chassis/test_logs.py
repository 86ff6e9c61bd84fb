"""Logs: one JSON object a line, in Cloud Logging's words, without secrets."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator

import pytest
import structlog

from chassis.logs import bind_ids, configure_logs, get_logger, safe_url


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.fault("J2")
@pytest.mark.threat("T8")
def test_an_event_is_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Severity, message and time as Cloud Logging names them; context and facts beside them."""
    configure_logs(service="ingest", project="p", revision="r-1", level="INFO")
    structlog.contextvars.bind_contextvars(trace="0af7651916cd43dd8448eb211c80319c")
    get_logger("module").info("batch.sealed", rows=3, name='a "quoted"\nname')
    (line,) = logged(capsys)

    assert (line["severity"], line["message"], line["rows"]) == ("INFO", "batch.sealed", 3)
    assert (line["service"], line["revision"], line["name"]) == ("ingest", "r-1", 'a "quoted"\nname')
    assert line["logging.googleapis.com/trace"] == "projects/p/traces/0af7651916cd43dd8448eb211c80319c"
    assert str(line["time"]).endswith("Z")


def test_an_exception_is_one_line_for_error_reporting(capsys: pytest.CaptureFixture[str]) -> None:
    """With its traceback and the service's context."""
    configure_logs(service="ingest", project="p", revision="", level="INFO")
    try:
        raise ValueError("boom")
    except ValueError as error:
        get_logger("module").error("request.crashed", exc_info=error)
    (line,) = logged(capsys)

    assert line["severity"] == "ERROR"
    assert "ValueError: boom" in str(line["exception"])
    assert line["serviceContext"] == {"service": "ingest", "version": "local"}


def test_libraries_log_through_the_same_pipeline_and_only_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    """A library's warning is a JSON line; its chatter is dropped."""
    configure_logs(service="ingest", project="p", revision="", level="INFO")
    logging.getLogger("urllib3.connectionpool").debug("chatter")
    logging.getLogger("urllib3.connectionpool").info("chatter")
    logging.getLogger("urllib3.connectionpool").warning("retrying %s", "x")
    (line,) = logged(capsys)

    assert (line["severity"], line["message"]) == ("WARNING", "retrying x")


def test_what_is_below_the_level_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Of ours as of the libraries' records."""
    configure_logs(service="ingest", project="p", revision="", level="WARNING")
    get_logger("module").info("thing.done")
    get_logger("module").warning("thing.doubtful")
    logging.getLogger("library").info("chatter")
    (line,) = logged(capsys)

    assert line["message"] == "thing.doubtful"


def test_lines_of_threads_do_not_mix(capsys: pytest.CaptureFixture[str]) -> None:
    """Each is written whole."""
    configure_logs(service="ingest", project="p", revision="", level="INFO")
    log = get_logger("module")

    def write(number: int) -> None:
        for _ in range(50):
            log.info("thing.done", number=number, padding="x" * 5000)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(int(str(line["number"])) for line in logged(capsys)) == [n for n in range(4) for _ in range(50)]


@pytest.mark.fault("F14")
def test_a_users_url_is_logged_as_host_and_hash() -> None:
    """Neither path nor query nor credentials."""
    logged_url = safe_url("https://user:secret@cdn.example/private/a.jpg?token=secret")

    assert logged_url["host"] == "cdn.example"
    assert "secret" not in str(logged_url)
    assert "private" not in str(logged_url)


@pytest.mark.parametrize("url", ["http://[::1", "", "\x00", "é"])
def test_a_broken_url_can_be_logged_too(url: str) -> None:
    """Logging never fails on what a customer wrote."""
    assert safe_url(url)["host"] == ""


def test_lines_name_batch_and_image_where_they_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    """Under the names that every service uses; what a stranger sends as an id is not logged."""
    configure_logs(service="ingest", project="p", revision="", level="INFO")
    structlog.contextvars.clear_contextvars()
    batch = "0b0f2a52-5e0e-4a53-9d1f-6a4a9f6f2f10"

    bind_ids({"request_id": batch, "image_id": "../../etc/passwd", "quality": 50})
    get_logger("t").info("thing.done")

    structlog.contextvars.clear_contextvars()
    [line] = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert (line["request_id"], "image_id" in line, "quality" in line) == (batch, False, False)
