"""The tables of ingest: the only floor that writes them."""
