"""What the suite consists of: its services, what each is told, and how each is started."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from contract import topology
from sagactl.local.child import Program
from sagactl.local.ports import LOOPBACK

SERVICES = tuple(topology.TOPICS)
"""Those that speak gRPC and events; the gateway comes on top, once."""

GATEWAY = "gateway"
CONTROL = "CONTROL_SOCKET"
"""The variable that tells the gateway where services can be stopped and started; only a local one is told."""

Addresses = Mapping[str, Sequence[str]]
"""Where each service listens, "host:port" for each of its processes."""


def place(ports: Sequence[int], replicas: int, services: Sequence[str] = SERVICES) -> dict[str, list[str]]:
    """Shares `ports` out, `replicas` of them for each service; there is one gateway only."""
    following = iter(ports)
    counts = {service: 1 if service == GATEWAY else replicas for service in services}
    return {
        service: [f"{LOOPBACK}:{next(following)}" for _ in range(count)] for service, count in counts.items()
    }


def service_programs(
    addresses: Addresses, environ: Mapping[str, str], logs: Path, metrics: Addresses | None = None
) -> list[Program]:
    """A program for every process of every service; `metrics`: where each serves them, if it does."""
    return [
        _module(
            name=service if len(listening) == 1 else f"{service}-{number + 1}",
            module=f"services.{service}",
            environ={
                **environ,
                **topics(service),
                **_listening(address),
                **(_measured(metrics[service][number]) if metrics else {}),
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
    """The gateway, told where the services are."""
    where = {f"{service.upper()}_ADDRESS": ",".join(listening) for service, listening in addresses.items()}
    told = {**environ, **where, **_listening(f"{LOOPBACK}:{port}")}
    return _module(
        GATEWAY, f"services.{GATEWAY}", told | (_measured(*metrics[GATEWAY]) if metrics else {}), logs
    )


def tool_program(command: str, environ: Mapping[str, str], logs: Path) -> Program:
    """A command of this tool, in a process of its own: the libraries it needs stay out of this one."""
    return Program(command, (sys.executable, "-m", "sagactl", command), environ, logs / f"{command}.log")


def _module(name: str, module: str, environ: Mapping[str, str], logs: Path) -> Program:
    return Program(name, (sys.executable, "-m", module), environ, logs / f"{name}.log")


def topics(service: str) -> dict[str, str]:
    """What tells a service where to publish and what to hear."""
    return {
        "EVENT_PUBLISH_TOPIC": topology.TOPICS[service],
        "EVENT_SUBSCRIBE_TOPICS": ",".join(topology.subscribed_topics(service)),
        "EVENT_DEAD_LETTER_TOPIC": topology.DEAD_LETTER_TOPIC,
    }


def _listening(address: str) -> dict[str, str]:
    host, port = address.split(":")
    return {"HOST": host, "PORT": port}


def _measured(address: str) -> dict[str, str]:
    return {"METRICS_PORT": address.split(":")[1]}
