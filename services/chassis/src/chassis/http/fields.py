"""What the models of requests are made of: their bases, and texts that can be stored. Pure.

A model of a public request refuses unknown fields, because ignoring them would be silent: a misspelt filter would
answer what was not asked for. A model of a request among our own services ignores them, because the two sides are
deployed one after the other and the new one may say more than the old one knows.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


class PublicRequest(BaseModel):
    """Base of what clients send in a body or a query string."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class PeerRequest(BaseModel):
    """Base of what our own services send each other."""

    model_config = ConfigDict(frozen=True, extra="ignore")


def storable(value: str) -> str:
    """Return the text if PostgreSQL can hold it: no NUL, no lone surrogates.

    Raises:
        ValueError: it cannot.
    """
    if "\x00" in value:
        raise ValueError("NUL characters are not allowed")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError("lone surrogates are not allowed") from error
    return value


Text = Annotated[str, AfterValidator(storable)]
"""A text that can be stored."""
