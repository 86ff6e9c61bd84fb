"""The Workflows and Executions APIs: REST, gRPC and the resources they show."""
