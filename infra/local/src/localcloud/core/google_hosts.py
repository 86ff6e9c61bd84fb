"""Which addresses are Google's APIs, and which are this machine's.

localcloud answers or refuses requests to Google; nothing that it runs reaches it.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

_DOMAIN = "googleapis.com"
_OF_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - nothing is bound here


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


def own_address(host: str) -> str:
    """Return where a server of this machine is reached that listens on `host`: every address means loopback, too."""
    return _OF_EVERY_ADDRESS.get(host, host)


def is_loopback(name: str) -> bool:
    """Return whether the host of a URL, without port and brackets, is this machine: localhost or a loopback address."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
