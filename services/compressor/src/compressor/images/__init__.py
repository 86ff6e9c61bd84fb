"""One picture in, one smaller picture out."""
