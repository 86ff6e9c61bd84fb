"""Batches on ingest's own claims and outcomes and a real PostgreSQL, in a time of their own."""
