"""Plumbing shared by the Pressroom services: settings, logs, errors, identity, egress, Google clients, database."""
