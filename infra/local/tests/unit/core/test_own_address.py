"""Where a server is reached that listens on an address."""

from __future__ import annotations

import pytest

from localcloud.core.google_hosts import own_address


@pytest.mark.parametrize(
    ("host", "address"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("127.0.0.1", "127.0.0.1"), ("box", "box")]
)
def test_server_on_every_address_is_reached_on_loopback(host: str, address: str) -> None:
    """Callback URLs and the addresses of own services must lead somewhere."""
    assert own_address(host) == address
