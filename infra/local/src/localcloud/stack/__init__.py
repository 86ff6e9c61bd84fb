"""Starters and the stack runner."""
