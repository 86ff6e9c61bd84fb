"""The runs of jobs at their times."""
