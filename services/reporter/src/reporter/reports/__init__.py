"""The files of a report: written, stored and linked."""
