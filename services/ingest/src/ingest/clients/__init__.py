"""The services and Google APIs that ingest calls."""
