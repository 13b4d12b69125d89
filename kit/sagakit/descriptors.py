"""The limit of open file descriptors, which bounds the connections of a process."""

import resource

import structlog

log = structlog.get_logger()

MAX_DESCRIPTORS = 65_536
RESERVED_DESCRIPTORS = 192
"""For all but connections of clients: the backend, the broker, files, connections that are being accepted."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit to the hard one, at most to 65,536, and return it.

    Shells and service managers commonly leave it at 1,024, for programs that use select(2).
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    target = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft == resource.RLIM_INFINITY or soft >= target:
        return MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    return target


def connections_within(wanted: int) -> int:
    """Raise the limit, and return how many of the `wanted` connections it allows besides everything else."""
    descriptors = raise_descriptor_limit()
    connections = min(wanted, max(descriptors - RESERVED_DESCRIPTORS, descriptors // 2))
    if connections < wanted:
        log.warning("fewer connections than configured", connections=connections, descriptors=descriptors)
    return connections
