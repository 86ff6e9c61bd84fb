"""Pressroom ingest: sheets in, batches and their state."""
