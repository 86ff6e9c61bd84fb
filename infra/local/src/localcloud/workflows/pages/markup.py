"""HTML as nested calls: `h("a", "text", href="/x")`. Every text and attribute is escaped; only `Markup` is not.

Does not know about: pages.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

VOID_TAGS = frozenset({"br", "hr", "input", "link", "meta"})


class Markup(str):
    """Text that is HTML already; made by `h` and `raw` only."""

    __slots__ = ()


Child = str | int | float | None | Iterable["Child"]
Attribute = str | int | float | bool | None


def h(tag: str, *children: Child, **attributes: Attribute) -> Markup:
    """Return an element.

    Args:
        tag: its name.
        children: texts (escaped), elements, or iterables of them; None is left out.
        attributes: by name, `_` for `-`, a trailing `_` dropped (`class_`); True is a bare attribute, None and False
            leave it out.
    """
    shown = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in VOID_TAGS:
        return Markup(f"<{tag}{shown}>")
    return Markup(f"<{tag}{shown}>{join(children)}</{tag}>")


def join(children: Iterable[Child]) -> Markup:
    """Return the children one after the other, texts escaped."""
    return Markup("".join(_text(child) for child in children))


def raw(text: str) -> Markup:
    """Take a text for HTML: for constants of this package only."""
    return Markup(text)


def _text(child: Child) -> str:
    match child:
        case None:
            return ""
        case Markup():
            return child
        case str():
            return html.escape(child)
        case int() | float():
            return str(child)
        case _:
            return join(child)


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    known = name.rstrip("_").replace("_", "-")
    return f" {known}" if value is True else f' {known}="{html.escape(str(value))}"'
