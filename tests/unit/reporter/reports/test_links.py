"""Links to reports: what opens them, and what a browser saves a file as."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest
from itsdangerous import URLSafeTimedSerializer

from chassis.errors import ApiError
from reporter.reports.links import check_link, content_disposition, make_link, saved_name
from reporter.state.reports import Report
from support.reporter_service import World


@pytest.mark.parametrize(
    ("source", "saved"),
    [
        ("spring.csv", "spring-output.csv"),
        ("spring.2026.csv", "spring.2026-output.csv"),
        ("spring", "spring-output.csv"),
        (".csv", "csv-output.csv"),
        ("", "output.csv"),
        ("/etc/passwd.csv", "passwd-output.csv"),
        ("C:\\sheets\\spring.csv", "spring-output.csv"),
        ('a<b>:"|?*c.csv', "a_b_c-output.csv"),
        ("a\r\nb\x7f.csv", "a_b_-output.csv"),
        (" . spring . .csv", "spring-output.csv"),
        ("x" * 101 + ".csv", "x" * 100 + "-output.csv"),
        ("x" * 100 + ".csv", "x" * 100 + "-output.csv"),
    ],
)
def test_a_file_is_saved_under_the_name_of_its_sheet(source: str, saved: str) -> None:
    """Without what no file system takes, and never outside the folder that its owner chose."""
    assert saved_name(source, "output.csv") == saved


def test_a_file_is_saved_unless_it_is_to_be_shown() -> None:
    """Only a page is shown."""
    assert content_disposition("a.csv").startswith('attachment; filename="a.csv";')
    assert content_disposition("a.html", shown=True).startswith('inline; filename="a.html";')


@pytest.mark.parametrize(
    ("name", "plain", "quoted"),
    [
        ("a b.csv", "a b.csv", "a%20b.csv"),
        ("größe.csv", "gr__e.csv", "gr%C3%B6%C3%9Fe.csv"),
        ('a"b\\c%d.csv', "a_b_c_d.csv", "a%22b%5Cc%25d.csv"),
        ("a\r\nX: y", "a__X: y", "a%0D%0AX%3A%20y"),
        ("a/b", "a/b", "a%2Fb"),
    ],
)
def test_a_name_in_any_script_is_said_twice(name: str, plain: str, quoted: str) -> None:
    """Once for old browsers, once as it is; it can neither end the header nor begin another."""
    assert content_disposition(name) == f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quoted}"


def test_a_link_is_signed_for_reports_only(world: World) -> None:
    """Another use of the same secret makes no link, however it is written."""
    request_id = uuid4()
    secret = world.settings.download_signing_secret.get_secret_value()
    clock = world.dependencies.clock
    foreign = [
        URLSafeTimedSerializer(secret, salt=salt).dumps([str(request_id), 0])
        for salt in ("itsdangerous", "itsdangerous.Signer", "reporter.other")
    ]
    own = make_link(world.settings, clock, Report(request_id, 0, None, "a.csv", "o", "f", "r", 1, 1), "output.csv")
    token = parse_qs(urlsplit(own.url).query)["token"][0]

    assert check_link(world.settings, clock, token, request_id, 0) == 0
    for signed in foreign:
        with pytest.raises(ApiError) as caught:
            check_link(world.settings, clock, signed, request_id, 0)
        assert caught.value.reason == "DOWNLOAD_LINK_INVALID"


def test_a_link_tells_until_when_it_works(world: World) -> None:
    """For as long as the setting says, from now on."""
    report = Report(uuid4(), 0, None, "a.csv", "o", "f", "r", 1, 1)
    now = world.dependencies.clock.now()

    link = make_link(world.settings, world.dependencies.clock, report, "output.csv")

    assert link.expires_at - now == timedelta(seconds=world.settings.download_ttl_s)
    assert link.url.startswith(f"{world.settings.reporter_url}/reports/{report.request_id}/output.csv?")
