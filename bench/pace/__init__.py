"""The learned pace of a host: the rule that the database runs, as Python, and a simulation of it."""
