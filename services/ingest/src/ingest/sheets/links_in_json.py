"""Links of a cell that holds a JSON list or object, as scrapers and databases export them."""

from __future__ import annotations

import json
from typing import Any

from chassis.egress.link_repairs import trimmed

# Of several links in one object the first of these is that of the picture.
_KEYS = ("src", "url", "image", "image_url", "imageurl", "original", "large", "full", "link", "href", "path")
_BEGINS = ("http://", "https://", "//", "www.", "data:")


def links_in_json(cell: str) -> tuple[str, ...] | None:
    """Return the links in the order of the list, with texts of lists that are none; None when the cell is no JSON.

    Example:
        >>> links_in_json('[{"src": "https://a.example/1.jpg", "alt": "Lamp"}, "https://a.example/2.jpg"]')
        ('https://a.example/1.jpg', 'https://a.example/2.jpg')
    """
    text = trimmed(cell)
    if text[:1] + text[-1:] not in {"[]", "{}"}:
        return None
    try:
        # Numbers stay text: converting a long one takes more than linear time.
        value = json.loads(text, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None
    found: list[str] = []
    waiting: list[Any] = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            found.append(part)
        elif isinstance(part, list):
            waiting.extend(reversed([entry for entry in part if entry not in (None, "")]))
        elif isinstance(part, dict):
            waiting.extend(reversed(_of_object(part)))
    return tuple(found) if found or value == [] else None


def _of_object(part: dict[str, Any]) -> list[Any]:
    by_key = {key.lower(): value for key, value in part.items() if _is_link(value)}
    best = next((by_key[key] for key in _KEYS if key in by_key), None)
    direct = [best] if best is not None else list(by_key.values())
    return [*direct, *(value for value in part.values() if isinstance(value, list | dict))]


def _is_link(value: Any) -> bool:
    return isinstance(value, str) and trimmed(value)[:8].lower().startswith(_BEGINS)
