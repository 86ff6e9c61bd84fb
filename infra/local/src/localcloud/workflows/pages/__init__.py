"""The executions page: workflows and executions for human eyes, rendered on the server, with nothing from outside.

A departure from production, below `/ui/` of the Workflows port; it shows and does only what the APIs offer.
"""
