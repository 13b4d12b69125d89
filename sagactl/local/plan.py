"""The plan of a local run: backend, ports and environment, decided before anything is started."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sagactl.errors import CommandError
from sagactl.local import dev_tokens, programs
from sagactl.local.emulators import FIRESTORE, PUBSUB, Emulator, why_unavailable
from sagactl.local.ports import LOOPBACK, check_free, free_ports
from sagakit.settings import host_and_port

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
    addresses: programs.Addresses
    metrics: programs.Addresses
    """Metrics endpoints of each service's processes and of the gateway."""
    gateway_port: int
    run_dir: Path
    auth: bool

    @property
    def gateway(self) -> str:
        return f"http://{LOOPBACK}:{self.gateway_port}"

    @property
    def logs(self) -> Path:
        return self.run_dir / "logs"


def make_plan(options: Options, environ: Mapping[str, str]) -> Plan:
    """Return the plan. Raises CommandError if emulators are missing or the gateway's port is in use."""
    choice = choose(options.backend, environ, why_unavailable(FIRESTORE, PUBSUB, environ=environ))
    to_start = () if choice.backend == EMBEDDED or choice.hosts else (FIRESTORE, PUBSUB)
    if options.port:
        check_free(options.port)
    process_count = len(programs.SERVICES) * options.replicas + 1
    ports = iter(free_ports(2 * process_count + len(to_start), avoid=options.port))
    started = {emulator: next(ports) for emulator in to_start}
    run_dir = options.run_dir.absolute()
    backend_environ = _backend_environ(choice, started, run_dir, environ)
    return Plan(
        choice=choice,
        emulators=started,
        backend_environ=backend_environ,
        environ={
            **_TERMINAL_ENVIRON,
            **environ,
            **backend_environ,
            **(dev_tokens.environ(run_dir) if options.auth else {}),
            **_bypassing_proxies(environ),
        },
        addresses=programs.place(ports, options.replicas),
        metrics=programs.place(ports, options.replicas, (*programs.SERVICES, programs.GATEWAY)),
        gateway_port=options.port or next(ports),
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
        return {**project, "BACKEND": "embedded", "EMBEDDED_FILE": str(run_dir / "embedded.sqlite3")}
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
