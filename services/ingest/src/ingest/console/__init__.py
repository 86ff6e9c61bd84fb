"""The console: pages for people, over the same use cases and reads as the JSON routes; no SQL of its own."""
