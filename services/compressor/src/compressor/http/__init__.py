"""The HTTP interface: the only floor that knows Flask."""
