"""How the services are to be called: deadlines, retries, balancing and health, as gRPC's service config.

Every caller in Python gives it to its channels; one in another language may take it as it is
(https://github.com/grpc/grpc/blob/master/doc/service_config.md).
"""

import json

DEADLINE_SECONDS = 10.0
"""No call takes longer, whatever its caller is ready to wait: a step that lost its races gives up before."""

# Every RPC is safe to repeat (AddItem by its commandid), but only where nobody has answered. gRPC
# jitters the pauses (https://grpc.io/docs/guides/retry/).
_RETRY = {
    "maxAttempts": 5,
    "initialBackoff": "0.05s",
    "maxBackoff": "0.5s",
    "backoffMultiplier": 2,
    # A server that is about to stop may cancel a call that came in just then.
    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
}


def service_config(service: str, deadline_seconds: float = DEADLINE_SECONDS) -> str:
    """The service config of a channel to the gRPC service with that full name."""
    return json.dumps(
        {
            "loadBalancingConfig": [{"round_robin": {}}],
            # Each connection watches the health of the process behind it: one that drains gets no more calls.
            "healthCheckConfig": {"serviceName": ""},
            "methodConfig": [
                {"name": [{"service": service}], "timeout": f"{deadline_seconds:g}s", "retryPolicy": _RETRY}
            ],
        }
    )
