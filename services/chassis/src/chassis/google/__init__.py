"""Google's own client libraries."""
