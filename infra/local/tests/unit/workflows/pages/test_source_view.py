"""Lines, marks and carets."""

from __future__ import annotations

import html
import re

from localcloud.workflows.pages.source_view import Mark, source_excerpt, source_view

SOURCE = "main:\n  steps:\n    - a:\n        return: ${<b> + 1}\n"


def text(markup: str | None) -> str:
    """Return what a reader sees."""
    return html.unescape(re.sub("<[^>]+>", "", markup or ""))


def test_caret_stands_below_the_failing_expression() -> None:
    """Column and length of the mark, on a line of its own."""
    seen = text(source_view(SOURCE, [Mark(4, "failed", "here", column=17, length=10)])).splitlines()

    assert seen[3:5] == ["4        return: ${<b> + 1}", " " * 16 + "^" * 10 + " here"]


def test_length_of_a_caret_is_in_bytes_of_the_source() -> None:
    """Two letters of three bytes each are two carets wide."""
    seen = text(source_view("a: €€\n", [Mark(1, "failed", "", column=4, length=6)]))

    assert seen.splitlines()[1] == "   ^^ "


def test_caret_does_not_leave_its_line() -> None:
    """An expression over several lines is marked to the end of its first."""
    seen = text(source_view("a: b\nc: d\n", [Mark(1, "failed", "", column=4, length=100)]))

    assert seen.splitlines()[1] == "   ^ "


def test_excerpt_holds_the_lines_around_the_mark() -> None:
    """Three before and three after, as far as there are any."""
    excerpt = text(source_excerpt("\n".join(f"line{n}" for n in range(1, 21)), Mark(10, "failed", "", 1, 1)))

    assert re.findall(r"line\d+", excerpt) == [f"line{n}" for n in range(7, 14)]


def test_mark_outside_of_the_source_has_no_excerpt() -> None:
    """A position that the source does not have is no reason to break the page."""
    assert source_excerpt(SOURCE, Mark(99, "failed", "")) is None


def test_source_is_escaped() -> None:
    """A source is text, whatever is in it."""
    assert "<b>" not in source_view(SOURCE, ())
