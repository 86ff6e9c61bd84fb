"""`make bench-million`: sheets of up to a million rows, from their import to their report, without pictures."""
