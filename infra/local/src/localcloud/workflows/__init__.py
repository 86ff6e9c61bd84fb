"""The Workflows emulator: language, runtime and APIs."""
