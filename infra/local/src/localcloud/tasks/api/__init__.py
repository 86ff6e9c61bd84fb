"""The Cloud Tasks v2 API: REST, gRPC and the resources they show."""
