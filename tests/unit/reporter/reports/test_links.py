"""What a browser saves a file as."""

from __future__ import annotations

import pytest

from reporter.reports.links import content_disposition, saved_name


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
