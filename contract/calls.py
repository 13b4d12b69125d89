"""gRPC service config for calls between services: retries, load balancing, health.

Python callers pass it to their channels; callers in other languages can use the same JSON
(https://github.com/grpc/grpc/blob/master/doc/service_config.md). It has no timeout: grpc.aio would count that
on the wall clock, so that a step back fails every call at once. Each call is given its own.
"""

import ipaddress
import json
import re
from typing import Any

_CHANNEL_OPTIONS = (
    # By default gRPC waits up to two minutes before it reconnects, 20 seconds for an address that does not
    # answer, and queries DNS for new replicas only twice a minute.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
    # A DNS server that does not answer is asked again after this time, by default two minutes.
    ("grpc.dns_ares_query_timeout", 5_000),
    # The services are in the same network: a proxy for outgoing traffic is not meant for them.
    ("grpc.enable_http_proxy", 0),
)
_TARGET = re.compile(r"(dns|ipv4|ipv6|unix|xds):")
_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")

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


def service_config(*services: str) -> str:
    """Return the service config (JSON) for a channel to the gRPC services with these full names."""
    return json.dumps(
        {
            "loadBalancingConfig": [{"round_robin": {}}],
            # Each connection watches its server's health, so that a draining process gets no more calls.
            "healthCheckConfig": {"serviceName": ""},
            "methodConfig": [{"name": [{"service": each} for each in services], "retryPolicy": _RETRY}],
        }
    )


def channel_options(*services: str) -> tuple[tuple[str, Any], ...]:
    """Return the options of a channel to the gRPC services with these full names."""
    return (*_CHANNEL_OPTIONS, ("grpc.service_config", service_config(*services)))


def grpc_target(address: str) -> str:
    """Return the gRPC target of an address: the address itself if it is one, or one made of `host:port[,…]`.

    Raises ValueError if the address is neither.
    """
    if _TARGET.match(address):
        return address
    endpoints = [_endpoint(entry.strip()) for entry in address.split(",") if entry.strip()]
    versions = {_ip_version(host) for host, _ in endpoints}
    joined = ",".join(f"{host}:{port}" for host, port in endpoints)
    if versions == {None} and len(endpoints) == 1:
        return f"dns:///{joined}"
    if len(versions) == 1 and None not in versions:
        return f"ipv{versions.pop()}:{joined}"
    raise ValueError("must be one DNS name or several IP addresses of one version, with ports")


def _endpoint(entry: str) -> tuple[str, int]:
    match = _HOST_AND_PORT.fullmatch(entry)
    if match is None or not 1 <= int(match["port"]) <= 65_535:
        raise ValueError(f"must be a gRPC target or host:port, not {entry!r}")
    # The name stands for two addresses, of which local services listen at one.
    host = "127.0.0.1" if match["host"] == "localhost" else match["host"]
    return host, int(match["port"])


def _ip_version(host: str) -> int | None:
    try:
        return ipaddress.ip_address(host.strip("[]")).version
    except ValueError:
        return None
