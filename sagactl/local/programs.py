"""The programs of the suite: its services, the gateway and one-off commands, with their environments."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from contract.topology import TOPOLOGY
from sagactl.local.child import Program
from sagactl.local.ports import LOOPBACK

SERVICES = TOPOLOGY.names
"""The event-driven services; the gateway, of which there is one, is not included."""
GATEWAY = "gateway"
CONTROL = "CONTROL_SOCKET"
"""Variable with the control socket's path, set for a local gateway only."""

Addresses = Mapping[str, Sequence[str]]
"""By service, "host:port" of each of its processes."""


def place(ports: Iterable[int], replicas: int, services: Sequence[str] = SERVICES) -> dict[str, list[str]]:
    """Assign the next of `ports` to the processes: `replicas` of each service, one gateway."""
    remaining = iter(ports)
    counts = {service: 1 if service == GATEWAY else replicas for service in services}
    return {
        service: [f"{LOOPBACK}:{next(remaining)}" for _ in range(count)] for service, count in counts.items()
    }


def service_programs(
    addresses: Addresses, environ: Mapping[str, str], logs: Path, metrics: Addresses | None = None
) -> list[Program]:
    """Return a program for every process of every service."""
    return [
        _module(
            name=service if len(listening) == 1 else f"{service}-{number + 1}",
            module=f"services.{service}",
            environ={
                **environ,
                **TOPOLOGY.environ(service),
                **_listen(address, metrics[service][number] if metrics else None),
            },
            logs=logs,
        )
        for service, listening in addresses.items()
        for number, address in enumerate(listening)
    ]


def gateway_program(
    addresses: Addresses,
    port: int,
    environ: Mapping[str, str],
    logs: Path,
    metrics: Addresses | None = None,
) -> Program:
    """Return the program of the gateway."""
    services = {f"{service.upper()}_ADDRESS": ",".join(listening) for service, listening in addresses.items()}
    listen = _listen(f"{LOOPBACK}:{port}", metrics[GATEWAY][0] if metrics else None)
    return _module(GATEWAY, f"services.{GATEWAY}", {**environ, **services, **listen}, logs)


def tool_program(command: str, environ: Mapping[str, str], logs: Path) -> Program:
    """Return a sagactl command as a process of its own, so that its libraries stay out of this one."""
    return Program(command, (sys.executable, "-m", "sagactl", command), environ, logs / f"{command}.log")


def _module(name: str, module: str, environ: Mapping[str, str], logs: Path) -> Program:
    return Program(name, (sys.executable, "-m", module), environ, logs / f"{name}.log")


def _listen(address: str, metrics: str | None) -> dict[str, str]:
    host, port = address.split(":")
    endpoint = {"METRICS_PORT": metrics.split(":")[1]} if metrics else {}
    return {"HOST": host, "PORT": port, **endpoint}
