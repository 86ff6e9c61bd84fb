"""`python -m pressroom` is the command `pressroom`."""

from __future__ import annotations

from pressroom.cli.app import main

main()
