"""The executions page: HTML of workflows and executions, made on the server, without files from other sites.

A departure from production, below `/ui/` of the Workflows port; it shows and does only what the APIs offer.
"""
