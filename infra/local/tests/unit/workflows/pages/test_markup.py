"""Escaping: what a workflow's author or caller wrote never becomes HTML."""

from __future__ import annotations

from localcloud.workflows.pages.markup import h, join


def test_text_of_an_element_is_escaped() -> None:
    """Angle brackets and ampersands are text."""
    assert h("p", "<b>&") == "<p>&lt;b&gt;&amp;</p>"


def test_attribute_is_escaped() -> None:
    """A quote cannot end an attribute."""
    assert h("a", "x", href='" onclick="alert(1)') == '<a href="&quot; onclick=&quot;alert(1)">x</a>'


def test_element_inside_an_element_is_not_escaped_again() -> None:
    """Only texts are escaped, at any depth of lists."""
    assert h("ul", [h("li", each) for each in ("a", "<")]) == "<ul><li>a</li><li>&lt;</li></ul>"


def test_absent_attributes_and_children_leave_nothing() -> None:
    """None and False are left out, True is a bare attribute."""
    assert h("input", disabled=True, value=None, checked=False) == "<input disabled>"
    assert join(["a", None, 1]) == "a1"
