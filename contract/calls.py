"""gRPC service config for calls between services: deadlines, retries, load balancing, health.

Python callers pass it to their channels; callers in other languages can use the same JSON
(https://github.com/grpc/grpc/blob/master/doc/service_config.md).
"""

import json

DEADLINE_SECONDS = 10.0
"""Timeout of a call, whatever its caller allows; longer than a transaction retries after conflicts."""

# Every RPC is safe to retry (AddItem by its commandid). gRPC jitters the backoff
# (https://grpc.io/docs/guides/retry/).
_RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 2,
    # A server that shuts down may cancel a call that has just arrived.
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}


def service_config(service: str, deadline_seconds: float = DEADLINE_SECONDS) -> str:
    """Return the service config (JSON) for a channel to the gRPC service with this full name."""
    return json.dumps(
        {
            "loadBalancingConfig": [{"round_robin": {}}],
            # Each connection watches its server's health, so that a draining process gets no more calls.
            "healthCheckConfig": {"serviceName": ""},
            "methodConfig": [
                {"name": [{"service": service}], "timeout": f"{deadline_seconds:g}s", "retryPolicy": _RETRY}
            ],
        }
    )
