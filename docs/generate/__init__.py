"""Writes what the pages of this repository say about the code, from the code: `make docs`."""
