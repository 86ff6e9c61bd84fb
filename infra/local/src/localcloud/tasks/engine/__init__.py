"""The dispatch of tasks: when, how fast and what is sent."""
