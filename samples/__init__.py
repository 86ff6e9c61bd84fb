"""Sample data and the demonstration: a generated catalogue, its image server, a webhook receiver."""
