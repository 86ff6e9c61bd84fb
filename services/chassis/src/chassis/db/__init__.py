"""The database engine and its migrations."""
