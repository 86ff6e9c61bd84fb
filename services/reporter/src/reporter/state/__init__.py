"""The tables of the reporter: the only floor that writes them."""
