"""Partial responses: the system parameter `fields` names what of an answer the caller wants.

The selector is that of Google's APIs: names joined by commas, `a/b` for a part of `a`, `a(b,c)` for several, `*` for
all. What an answer does not have is left out; production refuses names that the answer's type does not know.

Source: https://cloud.google.com/apis/docs/system-parameters
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from localcloud.core.google_errors import invalid_argument

MAX_SELECTOR_CHARACTERS = 2_000
_TOKEN = re.compile(r"[A-Za-z0-9_@.$-]+|[*,/()]")
_MAX_DEPTH = 20

Tree = dict[str, Any]
"""Names to what is wanted of each; an empty tree wants everything."""


def parse_selector(text: str) -> Tree:
    """Return what a selector wants.

    Raises:
        GoogleError: INVALID_ARGUMENT.
    """
    tokens = _TOKEN.findall(text)
    if len(text) > MAX_SELECTOR_CHARACTERS or "".join(tokens) != text.replace(" ", ""):
        raise _invalid(text)
    tree, rest = _list(tokens, 0, text, 0)
    if rest != len(tokens):
        raise _invalid(text)
    return tree


def selected(value: Any, tree: Mapping[str, Any]) -> Any:
    """Return the wanted parts of a JSON value; a list is a list of the wanted parts of its items."""
    if not tree:
        return value
    if isinstance(value, list):
        return [selected(item, tree) for item in value]
    if not isinstance(value, dict):
        return value
    everything = tree.get("*")
    return {
        name: selected(item, tree.get(name, everything or {}))
        for name, item in value.items()
        if name in tree or everything is not None
    }


def _list(tokens: list[str], at: int, text: str, depth: int) -> tuple[Tree, int]:
    tree: Tree = {}
    while True:
        at = _path(tokens, at, text, tree, depth)
        if at >= len(tokens) or tokens[at] != ",":
            return tree, at
        at += 1


def _path(tokens: list[str], at: int, text: str, tree: Tree, depth: int) -> int:
    """Read `name {/ name} [( list )]` into `tree` and return where it ends."""
    if at >= len(tokens) or tokens[at] in ",/()" or depth > _MAX_DEPTH:
        raise _invalid(text)
    inner = tree.setdefault(tokens[at], {})
    at += 1
    if at < len(tokens) and tokens[at] == "/":
        return _path(tokens, at + 1, text, inner, depth + 1)
    if at < len(tokens) and tokens[at] == "(":
        parts, at = _list(tokens, at + 1, text, depth + 1)
        if at >= len(tokens) or tokens[at] != ")":
            raise _invalid(text)
        inner.update(parts)
        return at + 1
    return at


def _invalid(text: str) -> Exception:
    return invalid_argument(f"Invalid field selection {text[:200]}")
