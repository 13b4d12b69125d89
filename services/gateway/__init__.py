"""The gateway: REST in, gRPC out, and no state of its own."""
