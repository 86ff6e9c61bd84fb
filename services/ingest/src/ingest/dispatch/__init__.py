"""Handing out images and taking their outcomes."""
