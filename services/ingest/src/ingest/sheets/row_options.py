"""The options a row sets for itself in columns such as `quality`, each checked by the rules of the whole batch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from ingest.options import ImageOptions

_WORDS = frozenset({"format", "metadata", "animated"})


def parse_option(option: str, text: str) -> tuple[Any, str | None]:
    """Return the option's value, and what is wrong with it or None; an empty cell sets nothing.

    Example:
        >>> parse_option("quality", "80")
        (80, None)
    """
    return _parsed(option, text.strip())


@lru_cache(maxsize=1024)
def _parsed(option: str, text: str) -> tuple[Any, str | None]:
    if not text:
        return None, None
    value = {"jpg": "jpeg"}.get(text.lower(), text.lower()) if option in _WORDS else text
    try:
        return getattr(ImageOptions.model_validate({option: value}), option), None
    except ValidationError as error:
        return None, error.errors(include_url=False, include_input=False)[0]["msg"]


def option_cells(options: Mapping[str, Any]) -> dict[str, str]:
    """Return options as the cells that would set them."""
    return {option: "" if value is None else str(value) for option, value in options.items()}
