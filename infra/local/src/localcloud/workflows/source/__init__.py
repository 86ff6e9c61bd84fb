"""Workflow sources: YAML with positions, steps, static checks."""
