"""TCP ports of the loopback interface: free ones, and whether a given one is."""

import errno
import os
import random
import socket
from contextlib import ExitStack

from sagactl.errors import CommandError

LOOPBACK = "127.0.0.1"

# Below the ranges from which Linux and macOS take the ports of outgoing connections: a service that
# is started again must find its port free.
_LOWEST, _HIGHEST = 20_000, 32_000


def free_ports(count: int, avoid: int = 0) -> list[int]:
    """That many different ports on which nobody listens at the moment, `avoid` not among them."""
    with ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            port = random.randint(_LOWEST, _HIGHEST)
            if port == avoid:
                continue
            candidate = stack.enter_context(socket.socket())
            try:
                candidate.bind((LOOPBACK, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            ports.append(port)
        return ports


def check_free(port: int) -> None:
    """CommandError unless a server could listen on `port` now."""
    with socket.socket() as probe:
        # As servers do: connections of an earlier run that linger on must not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "is taken by another process" if taken else os.strerror(error.errno or 0)
            raise CommandError(f"port {port} {why}; PORT=… chooses another") from error
