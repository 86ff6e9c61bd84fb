"""Connectors: googleapis.* calls as tables of API methods."""
