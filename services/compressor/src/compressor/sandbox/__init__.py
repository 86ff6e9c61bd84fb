"""The codec in processes of its own."""
