"""Cloud Trace as far as a laptop needs it: spans that come over the Telemetry API are kept, and the pages show them."""
