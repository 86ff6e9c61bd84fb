"""Which addresses are Google's APIs: localcloud answers or refuses them, and nothing that it runs reaches Google."""

from __future__ import annotations

from urllib.parse import urlsplit

_DOMAIN = "googleapis.com"


def google_service(url: str) -> str | None:
    """Return `storage` for any URL of `storage.googleapis.com`, and None for what is not below googleapis.com.

    Scheme, port, user and a final dot do not matter: each of them would still reach Google.

    Raises:
        ValueError: the URL's host cannot be read.
    """
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host != _DOMAIN and not host.endswith(f".{_DOMAIN}"):
        return None
    return host.removesuffix(_DOMAIN).rstrip(".")
