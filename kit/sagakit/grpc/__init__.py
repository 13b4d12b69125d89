"""A service's gRPC edge: server, errors, authentication, tracing and metrics."""
