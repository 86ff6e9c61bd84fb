"""An image's bytes from the server that has them."""
