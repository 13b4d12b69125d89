"""What a local run will consist of, decided before anything is started."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sagactl.local import dev_tokens as development
from sagactl.local import programs as suite
from sagactl.local.backend import DATASTORE_HOST, EMBEDDED, PUBSUB_HOST, Choice, choose
from sagactl.local.emulators import FIRESTORE, PUBSUB, Emulator, why_unavailable
from sagactl.local.ports import LOOPBACK, check_free, free_ports

PROJECT = "saga-local"

_FOR_A_TERMINAL = {"LOG_FORMAT": "console", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    backend: str
    port: int
    """The gateway's; 0: any that is free."""
    replicas: int
    """Processes of each service."""
    run_dir: Path
    auth: bool = False
    """Whether its clients have to sign in, with tokens of the development key."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything there is to know before the start."""

    choice: Choice
    emulators: Mapping[Emulator, int]
    """Those to be started, with their ports."""
    backend_environ: Mapping[str, str]
    """What names the backend's whereabouts."""
    environ: Mapping[str, str]
    """The environment of every process of the suite."""
    addresses: suite.Addresses
    metrics: suite.Addresses
    """Where each process, the gateway among them, serves its metrics."""
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
    """CommandError where it cannot be done: no emulators, or the gateway's port is taken."""
    choice = choose(options.backend, environ, why_unavailable(FIRESTORE, PUBSUB, environ=environ))
    to_start = () if choice.backend == EMBEDDED or choice.named else (FIRESTORE, PUBSUB)
    service_count = len(suite.SERVICES) * options.replicas
    process_count = service_count + 1
    gateway_port, *ports = free_ports(1 + service_count + process_count + len(to_start), avoid=options.port)
    ports, metrics_ports = ports[process_count:], ports[:process_count]
    if options.port:
        check_free(options.port)
        gateway_port = options.port
    started = dict(zip(to_start, ports[service_count:], strict=True))
    run_dir = options.run_dir.absolute()
    backend_environ = _backend_environ(choice, started, run_dir, environ)
    return Plan(
        choice=choice,
        emulators=started,
        backend_environ=backend_environ,
        environ={
            **_FOR_A_TERMINAL,
            **environ,
            **backend_environ,
            **(development.environ(run_dir) if options.auth else {}),
            **_bypassing_proxies(environ),
        },
        addresses=suite.place(ports[:service_count], options.replicas),
        metrics=suite.place(metrics_ports, options.replicas, (*suite.SERVICES, suite.GATEWAY)),
        gateway_port=gateway_port,
        run_dir=run_dir,
        auth=options.auth,
    )


def _backend_environ(
    choice: Choice, started: Mapping[Emulator, int], run_dir: Path, environ: Mapping[str, str]
) -> dict[str, str]:
    project = {"GOOGLE_CLOUD_PROJECT": environ.get("GOOGLE_CLOUD_PROJECT") or PROJECT}
    if choice.backend == EMBEDDED:
        return {**project, "BACKEND": "embedded", "EMBEDDED_FILE": str(run_dir / "embedded.sqlite3")}
    hosts = choice.named or {
        DATASTORE_HOST: f"{LOOPBACK}:{started[FIRESTORE]}",
        PUBSUB_HOST: f"{LOOPBACK}:{started[PUBSUB]}",
    }
    return {**project, "BACKEND": "gcp", **hosts}


def _bypassing_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Whatever proxy is set, the suite's processes meet on this machine."""
    direct = (environ.get("no_proxy") or environ.get("NO_PROXY"), LOOPBACK, "localhost")
    names = ",".join(name for name in direct if name)
    return {"no_proxy": names, "NO_PROXY": names}
