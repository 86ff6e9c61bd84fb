"""The tables of the reporter: the only floor that reads and writes them. All times are the database's."""
