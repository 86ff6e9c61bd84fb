"""Keeps what the last release says: `python -m last_release` from tests/, or `make last-release`."""
