"""Environments: every variable of a process is one of its settings, and valid."""

from collections.abc import Iterator

import click

from contract.topology import TOPOLOGY
from sagactl.__main__ import main as sagactl
from sagactl.configuration import SECTIONS
from sagakit.settings import BackendSettings, ServiceSettings, SettingsError, is_production, variables
from tests.support.manifests import Container, Manifests

LIBRARIES = ("OTEL_", "GRPC_", "PYTHON")
"""Prefixes of variables that libraries read themselves."""

WITHOUT_BACKEND = ("seed", "load")
"""Commands that call a service or the gateway only."""

EXPECTED = {
    "gke": {
        "backend": "gcp",
        "project": "PROJECT_ID",
        "ephemeral_project": "PROJECT_ID-ephemeral",
        "database": "saga",
        "datastore_emulator": "",
    },
    "local": {"backend": "gcp", "database": "", "datastore_emulator": "firestore:8081"},
}


def check(manifests: Manifests) -> Iterator[str]:
    for workload in manifests.workloads:
        for container in workload.all_containers:
            for problem in problems_of(manifests.overlay, container):
                yield f"{workload.name}/{container.name}: {problem}"


def problems_of(overlay: str, container: Container) -> Iterator[str]:
    if container.program not in {*TOPOLOGY.names, "gateway", "sagactl"}:
        return
    try:
        known = _valid_variables(container)
    except (SettingsError, click.ClickException) as error:
        yield f"invalid settings: {error}"
        return
    environ = container.environ
    for name in sorted(environ.keys() - known):
        if not name.startswith(LIBRARIES):
            yield f"nothing reads {name}"
    if environ.get("HOST", "0.0.0.0") != "0.0.0.0":
        yield "it listens on an address that other pods cannot reach"
    if overlay == "gke" and "ENVIRONMENT" in known and not is_production(environ):
        yield "it is not configured for production"
    if "BACKEND" in known and "BACKEND" in environ:
        backend = BackendSettings.from_environ(environ)
        for name, value in EXPECTED[overlay].items():
            if getattr(backend, name) != value:
                yield f"its {name} is {getattr(backend, name)!r}"


def _valid_variables(container: Container) -> set[str]:
    """Return the variables that the process reads. Raises if its environment or its arguments are invalid."""
    known: set[str] = set()
    settings = [SECTIONS[container.program]] if container.program in SECTIONS else []
    if container.program in TOPOLOGY.names:
        settings.append(ServiceSettings)
        known |= TOPOLOGY.service(container.program).environment.keys()
    if container.program == "sagactl":
        name, *arguments = container.spec["args"]
        command = sagactl.get_command(click.Context(sagactl), name)
        if command is None:
            raise click.UsageError(f"unknown command: {name}")
        context = command.make_context(name, list(arguments))
        for each in command.params:
            if isinstance(each.envvar, str):
                known.add(each.envvar)
                each.process_value(context, container.environ.get(each.envvar))
        if any(each.name == "stock_address" for each in command.params):
            # Not by click: it counts after the suite that runs on this machine.
            known.add("STOCK_ADDRESS")
        settings += [] if name in WITHOUT_BACKEND else [BackendSettings]
    for each in settings:
        each.from_environ(container.environ)
        known |= {variable.name for variable in variables(each)}
    return known
