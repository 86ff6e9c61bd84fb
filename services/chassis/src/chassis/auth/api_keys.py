"""API keys: who the callers of public routes are, kept as hashes in one secret, and a command that makes a key.

The secret holds one JSON object per line:

    {"owner": "shop", "scopes": ["read", "write"], "sha256": "...", "name": "ci", "expires_at": "2027-01-01T00:00Z"}

`name` and `expires_at` may be absent. An owner may have several keys, so that one can replace another; to take a line
out revokes its key. A key is 32 random bytes, so a plain SHA-256 of it cannot be turned back and needs no salt.

    python -m chassis.auth.api_keys --owner shop --scopes read,write >> api-keys.jsonl

writes the line on standard output and the key, which nobody can show again, on standard error.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from chassis.limited import Limited

KEY_PREFIX = "prk_"
"""Begins every key, so that scanners of leaked secrets know one."""

MAX_KEY_CHARS: Annotated[
    int, Limited("characters", "401 `API_KEY_INVALID`", "Longest API key", name="max_api_key_characters")
] = 200
"""A longer key is refused before it is hashed."""

OWNER_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
"""What an owner may be called."""

OFF = "off"
"""The value that says: no keys, public routes are open. An empty secret could not be stored."""

_KEY_BYTES = 32


class Scope(StrEnum):
    """What a key may do: READ is every GET, WRITE everything else; ADMIN is both, for the things of every owner."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class ApiKey(BaseModel):
    """One key of one owner; its hash, not the key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    owner: Annotated[str, StringConstraints(pattern=OWNER_PATTERN)]
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
    name: Annotated[str, StringConstraints(max_length=100)] = ""
    expires_at: AwareDatetime | None = None

    def allows(self, scope: Scope) -> bool:
        """Return whether the key may do what needs the scope."""
        return scope in self.scopes or Scope.ADMIN in self.scopes

    def has_expired(self, now: datetime) -> bool:
        """Return whether the key is over at this time (aware)."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key, shown once, and the line to store."""

    key: str
    line: str


def parse_api_keys(value: str) -> tuple[ApiKey, ...]:
    """Return the keys of the secret; none when it is empty or `off`.

    Raises:
        ValueError: naming every line that is no entry, and never its content. A secret of blank lines is a fault too:
            it must not open what keys were meant to close.
    """
    if value.strip() == OFF or not value:
        return ()
    keys: list[ApiKey] = []
    faults: list[str] = []
    seen: set[str] = set()
    for number, line in enumerate(value.splitlines(), 1):
        if not line.strip():
            continue
        try:
            key = ApiKey.model_validate_json(line)
        except ValidationError as error:
            fields = sorted({".".join(str(part) for part in fault["loc"][:1]) or "JSON" for fault in error.errors()})
            faults.append(f"line {number}: bad {', '.join(fields)}")
            continue
        if key.sha256 in seen:
            faults.append(f"line {number}: the same key as in a line before")
        seen.add(key.sha256)
        keys.append(key)
    if not keys and not faults:
        faults.append(f"there is no key; write {OFF!r} to have none")
    if faults:
        raise ValueError("; ".join(faults))
    return tuple(keys)


def find_key(keys: Sequence[ApiKey], given: str) -> ApiKey | None:
    """Return the entry of a key.

    Every entry is compared, each in constant time, so that the time taken tells nothing of the hashes.
    """
    digest = hashlib.sha256(given.encode("utf-8", "replace")).hexdigest()
    found = None
    for key in keys:
        if hmac.compare_digest(key.sha256, digest):
            found = key
    return found


def new_key(*, owner: str, scopes: Sequence[str], name: str = "", expires_at: str | None = None) -> NewKey:
    """Return a new random key and its line.

    Raises:
        pydantic.ValidationError: owner, scopes, name or time are not as an entry has them.
    """
    key = KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    digest = hashlib.sha256(key.encode()).hexdigest()
    entry = {"owner": owner, "scopes": list(scopes), "sha256": digest, "name": name, "expires_at": expires_at}
    line = json.dumps({field: value for field, value in entry.items() if value})
    ApiKey.model_validate_json(line)
    return NewKey(key, line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a key: its line goes to standard output, the key to standard error; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m chassis.auth.api_keys", description="Make an API key: the line to store, and the key, once."
    )
    parser.add_argument("--owner", required=True, help="whose batches it is for: letters, digits and ._@-")
    parser.add_argument("--scopes", default="read,write", help="of read, write, admin, separated by commas")
    parser.add_argument("--name", default="", help="tells the keys of an owner apart in logs")
    parser.add_argument("--expires-at", default=None, help="RFC 3339 time with zone, after which it is refused")
    given = parser.parse_args(arguments)
    try:
        made = new_key(owner=given.owner, scopes=given.scopes.split(","), name=given.name, expires_at=given.expires_at)
    except ValidationError as error:
        for fault in error.errors(include_input=False):
            sys.stderr.write(f"api_keys: {'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}\n")
        return 2
    sys.stdout.write(made.line + "\n")
    sys.stderr.write(f"The key, shown this once: {made.key}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
