"""The running executions: their start and end, callbacks, HTTP requests and logs."""
