"""Pressroom compressor: one image fetched, compressed and stored."""
