"""The programs of a project: its services, its gateway and one-off commands, with their environments."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sagakit.ctl.load import VARIABLE
from sagakit.ctl.local.child import Program
from sagakit.ctl.local.ports import LOOPBACK
from sagakit.ctl.project import Addresses, Gateway, Project
from sagakit.topology import Topology

CONTROL = "CONTROL_SOCKET"
"""Variable with the control socket's path, set for a local gateway only."""


def place(ports: Iterable[int], services: Sequence[str], replicas: int) -> dict[str, list[str]]:
    """Assign the next of `ports` to the processes: `replicas` of each service."""
    remaining = iter(ports)
    return {service: [f"{LOOPBACK}:{next(remaining)}" for _ in range(replicas)] for service in services}


def service_programs(
    topology: Topology,
    addresses: Addresses,
    environ: Mapping[str, str],
    logs: Path,
    metrics: Addresses | None = None,
) -> list[Program]:
    """Return a program for every process of every service."""
    return [
        _module(
            name=service if len(listening) == 1 else f"{service}-{number + 1}",
            module=topology.service(service).import_name,
            environ={
                **environ,
                **topology.environ(service),
                **_listen(address, metrics[service][number] if metrics else None),
            },
            logs=logs,
        )
        for service, listening in addresses.items()
        for number, address in enumerate(listening)
    ]


def gateway_program(
    gateway: Gateway,
    port: int,
    environ: Mapping[str, str],
    logs: Path,
    metrics: Addresses | None = None,
) -> Program:
    """Return the program of the gateway; `environ` names the services' addresses."""
    listen = _listen(f"{LOOPBACK}:{port}", metrics[gateway.name][0] if metrics else None)
    return _module(gateway.name, gateway.module, {**environ, **listen}, logs)


def address_environ(topology: Topology, addresses: Addresses) -> dict[str, str]:
    """Return the variables that name the services' addresses to their callers."""
    return {
        topology.service(service).address_variable: ",".join(listening)
        for service, listening in addresses.items()
    }


def tool_program(project: Project, command: str, environ: Mapping[str, str], logs: Path) -> Program:
    """Return a sagactl command as a process of its own, so that its libraries stay out of this one."""
    argv = (sys.executable, "-m", "sagakit.ctl", command)
    return Program(command, argv, {**environ, VARIABLE: project.reference}, logs / f"{command}.log")


def _module(name: str, module: str, environ: Mapping[str, str], logs: Path) -> Program:
    return Program(name, (sys.executable, "-m", module), environ, logs / f"{name}.log")


def _listen(address: str, metrics: str | None) -> dict[str, str]:
    host, port = address.split(":")
    endpoint = {"METRICS_PORT": metrics.split(":")[1]} if metrics else {}
    return {"HOST": host, "PORT": port, **endpoint}
