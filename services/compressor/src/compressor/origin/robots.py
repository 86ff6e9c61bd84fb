"""What an origin says with `X-Robots-Tag` about copying its images, and what we make of it.

The header is a list of directives, each of them for everybody or, behind `name:`, for one crawler and what follows it.
Source: https://developers.google.com/search/docs/crawling-indexing/robots-meta-tag#xrobotstag; `noai` and `noimageai`
are used by image hosts and have no standard.
"""

from __future__ import annotations

import re

OUR_NAME = "pressroom"
"""By which a header may mean us alone; the product in our User-Agent."""

_REFUSING = frozenset({"noimageindex", "noai", "noimageai"})
_VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_FOR_ONE = re.compile(r"(?P<name>[^:,\s]+)\s*:\s*(?P<directive>.*)")


def refusal(header: str) -> str | None:
    """Return the first directive of an `X-Robots-Tag` by which the origin refuses us copies; None if it does not.

    Example:
        >>> refusal("otherbot: noai, pressroom: noindex, noimageindex")
        'noimageindex'
    """
    means_us = True
    for item in header.lower().split(","):
        directive = item.strip()
        for_one = _FOR_ONE.fullmatch(directive)
        if for_one is not None and for_one["name"] not in _VALUED:
            means_us = for_one["name"] in {OUR_NAME, "*"}
            directive = for_one["directive"].strip()
        if means_us and directive in _REFUSING:
            return directive
    return None
