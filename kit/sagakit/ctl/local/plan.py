"""The plan of a local run: backend, ports and environment, decided before anything is started."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sagakit.addresses import host_and_port
from sagakit.ctl.errors import CommandError
from sagakit.ctl.local import programs
from sagakit.ctl.local.emulators import FIRESTORE, PUBSUB, Emulator, why_unavailable
from sagakit.ctl.local.ports import LOOPBACK, check_free, free_ports
from sagakit.ctl.local.runfile import DATABASE, LOGS
from sagakit.ctl.project import Addresses, Project

PROJECT = "saga-local"
AUTO, EMULATORS, EMBEDDED = "auto", "emulators", "embedded"
BACKENDS = (AUTO, EMULATORS, EMBEDDED)
DATASTORE_HOST, PUBSUB_HOST = "DATASTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"

_TERMINAL_ENVIRON = {"LOG_FORMAT": "console", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class Choice:
    """The backend of a run, and the reason in one line."""

    backend: str
    """EMULATORS or EMBEDDED."""
    why: str
    hosts: Mapping[str, str] | None = None
    """Running emulators, by the environment variables that name them; None: start them."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `sagactl up`."""

    backend: str
    port: int
    """Port of the gateway; 0: a free one."""
    replicas: int
    """Number of processes of each service."""
    run_dir: Path
    auth: bool = False
    """Whether clients need a token, signed with the development key."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything needed to start the suite."""

    choice: Choice
    emulators: Mapping[Emulator, int]
    """Emulators to start, with their ports."""
    backend_environ: Mapping[str, str]
    """Variables that name the backend."""
    environ: Mapping[str, str]
    """The environment of every process of the suite."""
    addresses: Addresses
    metrics: Addresses
    """Metrics endpoints of services and gateway; none without the extra `telemetry`."""
    gateway_port: int | None
    """None: the project has no gateway."""
    run_dir: Path
    auth: bool

    @property
    def gateway(self) -> str:
        """URL of the gateway; "" if there is none."""
        return "" if self.gateway_port is None else f"http://{LOOPBACK}:{self.gateway_port}"

    @property
    def logs(self) -> Path:
        return self.run_dir / LOGS


def make_plan(project: Project, options: Options, environ: Mapping[str, str]) -> Plan:
    """Return the plan. Raises CommandError if emulators are missing or the gateway's port is in use."""
    choice = choose(options.backend, environ, why_unavailable(FIRESTORE, PUBSUB, environ=environ))
    to_start = () if choice.backend == EMBEDDED or choice.hosts else (FIRESTORE, PUBSUB)
    services, gateway = project.topology.names, project.gateway
    if gateway and options.port:
        check_free(options.port)
    count = 2 * len(services) * options.replicas + 2 + len(to_start)
    ports = iter(free_ports(count, avoid=options.port))
    started = {emulator: next(ports) for emulator in to_start}
    run_dir = options.run_dir.absolute()
    backend_environ = _backend_environ(choice, started, run_dir, environ)
    metrics = programs.place(ports, services, options.replicas)
    metrics |= programs.place(ports, [gateway.name], 1) if gateway else {}
    return Plan(
        choice=choice,
        emulators=started,
        backend_environ=backend_environ,
        environ={
            **_TERMINAL_ENVIRON,
            **environ,
            **backend_environ,
            **(_auth_environ(project, run_dir) if options.auth else {}),
            **_import_path(project, environ),
            **_bypassing_proxies(environ),
        },
        addresses=programs.place(ports, services, options.replicas),
        metrics=metrics if find_spec("prometheus_client") else {},
        gateway_port=(options.port or next(ports)) if gateway else None,
        run_dir=run_dir,
        auth=options.auth,
    )


def choose(requested: str, environ: Mapping[str, str], missing: str | None) -> Choice:
    """Return the backend to use. `missing`: why emulators cannot be started here, if so.

    Raises CommandError if emulators are requested but unavailable, or only one of the two is named, or
    malformed.
    """
    if requested == EMBEDDED:
        return Choice(EMBEDDED, f"BACKEND={EMBEDDED}")
    hosts = {name: _host(environ, name) for name in (DATASTORE_HOST, PUBSUB_HOST) if environ.get(name)}
    if len(hosts) == 1:
        (name,) = hosts
        other = PUBSUB_HOST if name == DATASTORE_HOST else DATASTORE_HOST
        raise CommandError(f"{name} is set, {other} is not; set both, or none, or BACKEND={EMBEDDED}")
    if hosts:
        return Choice(EMULATORS, "named by " + " and ".join(hosts), hosts)
    if missing is None:
        why = f"BACKEND={EMULATORS}" if requested == EMULATORS else "found gcloud and Java"
        return Choice(EMULATORS, why)
    if requested == EMULATORS:
        raise CommandError(f"cannot start Google's emulators: {missing}; BACKEND={EMBEDDED} needs nothing")
    return Choice(EMBEDDED, missing)


def _host(environ: Mapping[str, str], name: str) -> str:
    try:
        return host_and_port(environ[name])
    except ValueError as error:
        raise CommandError(f"{name} {error}") from error


def _backend_environ(
    choice: Choice, started: Mapping[Emulator, int], run_dir: Path, environ: Mapping[str, str]
) -> dict[str, str]:
    project = {"GOOGLE_CLOUD_PROJECT": environ.get("GOOGLE_CLOUD_PROJECT") or PROJECT}
    if choice.backend == EMBEDDED:
        return {**project, "BACKEND": "embedded", "EMBEDDED_FILE": str(run_dir / DATABASE)}
    hosts = choice.hosts or {
        DATASTORE_HOST: f"{LOOPBACK}:{started[FIRESTORE]}",
        PUBSUB_HOST: f"{LOOPBACK}:{started[PUBSUB]}",
    }
    database = environ.get("DATASTORE_DATABASE", "")
    return {**project, "BACKEND": "gcp", "DATASTORE_DATABASE": database, **hosts}


def _bypassing_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Return variables that keep the suite's own calls on this machine, whatever proxy is set."""
    direct = (environ.get("no_proxy") or environ.get("NO_PROXY"), LOOPBACK, "localhost")
    names = ",".join(name for name in direct if name)
    return {"no_proxy": names, "NO_PROXY": names}


def _auth_environ(project: Project, run_dir: Path) -> dict[str, str]:
    try:
        from sagakit.ctl.local import dev_tokens
    except ImportError as error:
        raise CommandError(f"--auth needs the extra `auth` of sagakit: {error}") from error
    return dev_tokens.environ(run_dir, project.application)


def _import_path(project: Project, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variable by which processes find the project's packages from any working directory."""
    if project.root is None:
        return {}
    return {"PYTHONPATH": os.pathsep.join(filter(None, (str(project.root), environ.get("PYTHONPATH"))))}
