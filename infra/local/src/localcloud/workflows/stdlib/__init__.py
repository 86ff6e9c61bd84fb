"""Workflows' standard library, one module per Google module."""
