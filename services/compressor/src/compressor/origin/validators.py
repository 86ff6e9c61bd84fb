"""By what an origin tells whether a picture is still the same: its ETag, or the time of its last change.

Source: RFC 9110, 8.8 and 13.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Annotated

from chassis.limited import Limited

MAX_ETAG_CHARS: Annotated[
    int, Limited("characters", "it is not asked by", "Longest ETag that is remembered", internal=True)
] = 200
MAX_DATE_CHARS: Annotated[
    int, Limited("characters", "it is not asked by", "Longest Last-Modified that is remembered", internal=True)
] = 40
_SURE_AFTER_S = 1.0  # RFC 9110, 8.8.2.2: a picture may change twice within the second that a date names


@dataclass(frozen=True, slots=True)
class Validators:
    """What an answer said of its picture; with neither of both no question can be asked."""

    etag: str | None = None
    last_modified: str | None = None

    def conditions(self) -> dict[str, str]:
        """Return the headers that ask for the picture only if it has changed; the more exact ETag goes alone."""
        if self.etag is not None:
            return {"If-None-Match": self.etag}
        return {} if self.last_modified is None else {"If-Modified-Since": self.last_modified}


NO_VALIDATORS = Validators()


def validators_of(headers: Mapping[str, str]) -> Validators:
    """Return the validators of an answer; what is long, odd or says too little is left out."""
    etag = headers.get("ETag", "").strip()
    if _is_etag(etag):
        return Validators(etag=etag)
    changed = headers.get("Last-Modified", "").strip()
    return Validators(last_modified=changed) if _is_sure(changed, headers.get("Date", "")) else NO_VALIDATORS


def _is_etag(value: str) -> bool:
    quoted = value.removeprefix("W/")
    inside = quoted[1:-1]
    is_quoted = len(quoted) > 2 and quoted[0] == quoted[-1] == '"' and '"' not in inside
    return is_quoted and len(value) <= MAX_ETAG_CHARS and value.isascii() and value.isprintable()


def _is_sure(changed: str, answered: str) -> bool:
    """Return whether the picture can no longer change within the second of its last change."""
    if not (changed and answered) or max(len(changed), len(answered)) > MAX_DATE_CHARS or not changed.isascii():
        return False
    try:
        age_s = (parsedate_to_datetime(answered) - parsedate_to_datetime(changed)).total_seconds()
    except (ValueError, TypeError, LookupError, ArithmeticError):
        return False
    return age_s >= _SURE_AFTER_S
