"""The command: exit statuses, what stands on which stream, the config file, completion."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest
from standardwebhooks.webhooks import Webhook
from typer.testing import CliRunner, Result

from pressroom.cli.app import app
from pressroom.cli.options import Wiring
from pressroom.cli.receiver import is_signed
from support.fake_pressroom import ID, INGEST, SHEET_OUT, FakePressroom, ok, refused, summary

PROBLEM = {"row": 3, "column": "Bild", "code": "URL_INVALID", "message": "No link.", "value": "x"}


@pytest.fixture(name="fake")
def _fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakePressroom:
    fake = FakePressroom()
    monkeypatch.setattr(Wiring, "transport", fake.transport)
    monkeypatch.setattr(Wiring, "sleep", staticmethod(fake.sleep))
    for name in ("PRESSROOM_API_KEY", "PRESSROOM_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PRESSROOM_URL", INGEST)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spring.csv").write_bytes(b"a,b\n")
    return fake


def run(*arguments: str, **given: str) -> Result:
    """Run the command off a terminal."""
    return CliRunner().invoke(app, list(arguments), **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "failed", "code"),
    [("COMPLETED", 0, 0), ("COMPLETED_WITH_ERRORS", 1, 3), ("FAILED", 2, 1), ("CANCELLED", 2, 1)],
)
@pytest.mark.feature("64")
def test_the_exit_status_is_that_of_the_batch(fake: FakePressroom, status: str, failed: int, code: int) -> None:
    """And the result is there in any case, under its path on standard output."""
    fake.on("GET", f"/status/{ID}", ok(summary(status, succeeded=2 - failed, failed=failed)))

    done = run("compress", "spring.csv", "--quality", "60")

    assert (done.exit_code, done.stdout) == (code, "spring-output.csv\n")
    assert Path("spring-output.csv").read_bytes() == SHEET_OUT
    assert f"batch {ID}" in done.stderr
    assert status in done.stderr


def test_off_a_terminal_progress_is_a_line_every_tenth(fake: FakePressroom) -> None:
    """On standard error, with what is saved; without any escape sequence."""
    steps = [ok(summary("PROCESSING", succeeded=n, total=40)) for n in range(1, 40)]
    fake.on("GET", f"/status/{ID}", *steps, ok(summary(succeeded=40, total=40)))

    done = run("watch", ID)

    lines = [line for line in done.stderr.splitlines() if "%:" in line]
    assert [line.split(":")[0] for line in lines] == [f"{n} %" for n in (2, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)]
    assert "saved 24.0 kB (60.0 %)" in lines[-1]
    assert "\x1b" not in done.stderr + done.stdout


def test_a_bad_sheet_is_told_as_compilers_do(fake: FakePressroom) -> None:
    """file:row:column: code: message, and status 2."""
    fake.on(
        "POST", "/upload", refused(400, "SHEET_INVALID", problems=[PROBLEM, PROBLEM | {"row": None, "column": None}])
    )

    done = run("compress", "spring.csv")

    assert done.exit_code == 2
    assert done.stderr.splitlines()[:2] == [
        "spring.csv:3:Bild: URL_INVALID: No link.",
        "spring.csv: URL_INVALID: No link.",
    ]
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (refused(401, "API_KEY_MISSING"), 4),
        (refused(403, "SCOPE_MISSING"), 4),
        (refused(404, "BATCH_NOT_FOUND"), 2),
        (refused(500, "INTERNAL"), 1),
        (httpx2.ConnectError("nobody there"), 1),
        (httpx2.Response(200, text="<html>"), 1),
    ],
)
def test_a_refusal_has_its_exit_status(fake: FakePressroom, reply: httpx2.Response | Exception, code: int) -> None:
    """And one message on standard error, with what to quote."""
    fake.on("GET", f"/status/{ID}", reply)

    done = run("show", ID)

    assert (done.exit_code, done.stdout) == (code, "")
    assert done.stderr.startswith("pressroom: ")
    assert "Traceback" not in done.stderr


def test_an_interruption_before_there_is_a_batch_has_the_same_status(fake: FakePressroom) -> None:
    """As shells expect it of a command that was stopped."""
    fake.on("POST", "/upload", KeyboardInterrupt())

    assert run("compress", "spring.csv").exit_code == 130


@pytest.mark.parametrize("arguments", [["compress"], ["compress", "nowhere.csv"], ["nonsense"], ["show"]])
def test_wrong_usage_has_status_2(fake: FakePressroom, arguments: list[str]) -> None:
    """Nothing is sent."""
    assert run(*arguments).exit_code == 2
    assert fake.asked == []


def test_an_interruption_leaves_the_batch_running_and_says_how_to_go_on(fake: FakePressroom) -> None:
    """Status 130."""
    fake.on("GET", f"/status/{ID}", KeyboardInterrupt())

    done = run("compress", "spring.csv")

    assert done.exit_code == 130
    assert f"The batch goes on: pressroom watch {ID}" in done.stderr
    assert fake.requests("POST", "/cancel") == []


def test_an_upload_tells_what_the_batch_will_take(fake: FakePressroom) -> None:
    """On standard error, before it is waited for; a service of the release before says nothing."""
    estimate = {"bytes_in": 2_000_000, "bytes_out": 1, "seconds": 3, "learned": True, "assumes": []}
    assert "to fetch" not in run("compress", "spring.csv").stderr
    fake.on("POST", "/upload", ok({"request_id": ID, "estimate": estimate}, 202))

    done = run("compress", "spring.csv")

    assert f"batch {ID}, about 2.0 MB to fetch and 3 s (learned)" in done.stderr


def test_detached_only_the_id_is_written(fake: FakePressroom) -> None:
    """For scripts."""
    done = run("compress", "spring.csv", "--detach")

    assert (done.exit_code, done.stdout) == (0, f"{ID}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["compress", "spring.csv"],
        ["compress", "spring.csv", "--detach"],
        ["check", "spring.csv"],
        ["list"],
        ["show", ID, "--failed"],
        ["watch", ID],
        ["cancel", ID],
        ["retry", ID, "--code", "TIMEOUT"],
        ["whoami"],
        ["limits"],
        ["webhooks", "list"],
        ["webhooks", "add", "https://shop.example/"],
        ["webhooks", "test", "e1"],
        ["webhooks", "rotate", "e1"],
        ["webhooks", "redeliver", "e1", "--since", "2026-11-29T00:00:00Z"],
    ],
    ids=" ".join,
)
def test_every_result_is_to_be_had_as_json(fake: FakePressroom, arguments: list[str]) -> None:
    """One value on standard output and nothing else."""
    unknown = dict.fromkeys(("total_rows", "invalid_rows", "total_images", "unique_images", "host_count", "estimate"))
    lists = {"problems": [], "problem_count": 0, "warnings": [], "warning_count": 0, "columns": {}}
    if "check" in arguments:
        fake.on("POST", "/upload", ok({"valid": True, **unknown, **lists}))
    endpoint = {
        "id": "e1",
        "url": "https://shop.example/",
        "event_types": None,
        "description": "",
        "enabled": True,
        "disabled_reason": None,
        "secret": "whsec_x",
    }
    delivery = dict.fromkeys(("id", "request_id", "type", "state", "url_host", "created_at"), "x")
    fake.on("GET", "/requests", ok({"requests": [summary()], "next_page_token": ""}))
    fake.on("GET", f"/status/{ID}/images", ok({"images": [], "next_page_token": ""}))
    fake.on("GET", f"/status/{ID}/problems", ok({"problems": []}))
    fake.on("GET", f"/status/{ID}/hosts", ok({"hosts": []}))
    fake.on("POST", "/cancel", ok({"cancelled_images": 1}, 202))
    fake.on("POST", "/retry", ok({"retried_images": 1}, 202))
    fake.on("GET", "/limits", ok({"limits": []}))
    fake.on("GET", "/webhooks", ok({"endpoints": [endpoint], "next_page_token": ""}))
    fake.on("POST", "/webhooks", ok(endpoint, 201))
    fake.on("POST", "/webhooks/e1/test", ok(delivery, 202))
    fake.on("POST", "/webhooks/e1/rotate_secret", ok(endpoint))
    fake.on("POST", "/webhooks/e1/redeliver", ok({"redelivered": 1}, 202))

    done = run(*arguments, "--json")

    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout) is not None


def test_a_check_tells_problems_and_writes_the_corrected_sheet(fake: FakePressroom) -> None:
    """Status 2, because an upload would be refused."""
    counts = {"total_rows": 4, "invalid_rows": 1, "total_images": 5, "unique_images": 4, "host_count": 2}
    estimate = {"bytes_in": 2_000_000, "bytes_out": 1, "seconds": 3, "learned": False, "assumes": ["no other waits"]}
    found = {"problems": [PROBLEM], "problem_count": 1, "warnings": [], "warning_count": 0, "columns": {}}
    fake.on("POST", "/upload", ok({"valid": False, **counts, **found, "estimate": estimate}))
    fake.on("POST", "/corrected_sheet", httpx2.Response(200, content=b"corrected"))

    done = run("check", "spring.csv", "--fix", "corrected.csv")

    assert done.exit_code == 2
    assert "spring.csv:3:Bild: URL_INVALID: No link." in done.stderr
    assert "rows: 4, images: 5 (4 different), hosts: 2, problems: 1" in done.stdout
    assert "about 2.0 MB to fetch and 3 s (assumed)\n  assumed: no other waits\n" in done.stdout
    assert Path("corrected.csv").read_bytes() == b"corrected"


def test_a_download_goes_to_a_file_or_to_standard_output(fake: FakePressroom) -> None:
    """One kind at a time."""
    fake.on("GET", f"/reports/{ID}/failed.csv", httpx2.Response(200, content=b"failed"))

    assert run("download", ID, "-o", "-").stdout_bytes == SHEET_OUT
    assert run("download", ID, "--failed").stdout == "failed.csv\n"
    assert Path("failed.csv").read_bytes() == b"failed"
    assert run("download", ID, "--failed", "--jsonl").exit_code == 2


def test_a_login_is_tried_and_kept_for_this_user_only(fake: FakePressroom, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next command needs neither option nor environment; another URL does not get the key."""
    assert run("login", "--api-key", "prk_1").exit_code == 0
    path = Path("config/pressroom/config.toml")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    monkeypatch.delenv("PRESSROOM_URL")
    fake.asked.clear()

    run("whoami")
    run("whoami", "--url", "http://other.test")

    hosts = {request.url.host: request.headers.get("Authorization") for request in fake.asked}
    assert hosts == {"ingest.test": "Bearer prk_1", "other.test": None}


def test_an_option_goes_before_the_environment_and_that_before_the_file(
    fake: FakePressroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the key as for the URL."""
    run("login", "--api-key", "prk_file")
    fake.asked.clear()
    run("whoami")
    monkeypatch.setenv("PRESSROOM_API_KEY", "prk_environment")
    run("whoami")
    run("whoami", "--api-key", "prk_option")

    given = [request.headers["Authorization"].removeprefix("Bearer prk_") for request in fake.asked]
    assert given == ["file", "environment", "option"]


def test_a_refused_login_is_not_kept(fake: FakePressroom) -> None:
    """Status 4."""
    fake.on("GET", "/whoami", refused(401, "API_KEY_INVALID"))

    assert run("login", "--api-key", "prk_wrong").exit_code == 4
    assert not Path("config/pressroom/config.toml").exists()


def test_a_damaged_config_file_is_told(fake: FakePressroom) -> None:
    """With its path."""
    path = Path("config/pressroom/config.toml")
    path.parent.mkdir(parents=True)
    path.write_text("url = ")

    done = run("whoami")

    assert done.exit_code == 2
    assert "config.toml" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(fake: FakePressroom, shell: str) -> None:
    """Every subcommand that fits what was typed."""
    word = {"bash": {"COMP_WORDS": "pressroom we", "COMP_CWORD": "1"}}.get(
        shell,
        {"_TYPER_COMPLETE_ARGS": "pressroom we", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    )

    done = CliRunner().invoke(app, [], prog_name="pressroom", env={"_PRESSROOM_COMPLETE": f"complete_{shell}", **word})

    assert "webhooks" in done.stdout
    assert "compress" not in done.stdout


def test_a_signature_is_checked_as_standard_webhooks_says() -> None:
    """The example of its library; neither another body, nor another secret, nor an old time will do."""
    secret, body, at = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"a": 1}', 1_700_000_000
    signature = Webhook(secret).sign("msg_1", datetime.fromtimestamp(at, UTC), body.decode())
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": f"v1,AAAA {signature}"}

    assert is_signed(headers, body, secret, now=at + 299)
    assert not is_signed(headers, body + b" ", secret, now=at)
    assert not is_signed(headers, body, "whsec_AAAA", now=at)
    assert not is_signed(headers, body, secret, now=at + 301)
    assert not is_signed({}, body, secret, now=at)
