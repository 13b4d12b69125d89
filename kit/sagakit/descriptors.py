"""The limit of open file descriptors, which bounds the connections of a process."""

import resource

MAX_DESCRIPTORS = 65_536


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
