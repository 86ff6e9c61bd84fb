"""Signed sessions: which API key a browser has signed in with, for twelve hours. Pure.

A session names its key by a hash of the key's hash and is signed with that hash. So it needs no secret of its own, it
ends at once when the key is taken out, and whoever reads one learns nothing that would make another.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from chassis.auth.api_keys import ApiKey

SESSION_S = 12 * 3600
"""Seconds for which a sign-in lasts."""

_SESSION = re.compile(r"(?P<key>[0-9a-f]{32})\.(?P<ends>[0-9]{1,12})\.(?P<signature>[0-9a-f]{64})")


def new_session(key: ApiKey, now: datetime) -> str:
    """Return the session of a key, `KEY.END.SIGNATURE`; END is in seconds since 1970."""
    ends = int((now + timedelta(seconds=SESSION_S)).timestamp())
    signed = f"{_name_of(key)}.{ends}"
    return f"{signed}.{_signature(key, signed)}"


def key_of_session(keys: Sequence[ApiKey], session: str, now: datetime) -> ApiKey | None:
    """Return the key of a session, or None: it is over, not ours, or its key was taken out or has expired."""
    found = _SESSION.fullmatch(session)
    if found is None or int(found["ends"]) <= now.timestamp():
        return None
    signed = f"{found['key']}.{found['ends']}"
    for key in keys:
        named = hmac.compare_digest(_name_of(key), found["key"])
        if named and hmac.compare_digest(_signature(key, signed), found["signature"]):
            return None if key.has_expired(now) else key
    return None


def _name_of(key: ApiKey) -> str:
    return hashlib.sha256(f"console key\n{key.sha256}".encode()).hexdigest()[:32]


def _signature(key: ApiKey, signed: str) -> str:
    return hmac.new(key.sha256.encode(), f"console session\n{signed}".encode(), hashlib.sha256).hexdigest()
