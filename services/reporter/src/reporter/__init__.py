"""Pressroom reporter: sheets out, download links and webhooks."""
