"""Which execution looks after a batch, from its start to its end."""
