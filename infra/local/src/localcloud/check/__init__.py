"""`localcloud check`: what can be said about a workflow without running it.

Reads the checked program that a deploy makes, so what is refused here is what a deploy refuses. Does not start servers.
"""
