"""Environments: every variable of a process is read by its settings, and valid for them."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec

import click

from contract import topology
from sagactl.__main__ import main as sagactl
from sagakit.settings import BackendSettings, ServiceSettings, SettingsError, is_production
from tests.support.manifests import Container, Manifests

LIBRARIES = ("OTEL_", "GRPC_", "PYTHON")
"""Prefixes of variables that libraries read themselves."""

EXPECTED = {
    "gke": {"backend": "gcp", "project": "PROJECT_ID", "database": "saga", "datastore_emulator": ""},
    "local": {"backend": "gcp", "database": "", "datastore_emulator": "firestore:8081"},
}


class Recorded(Mapping[str, str]):
    """An environment that records which variables were read."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return self._environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)


def check(manifests: Manifests) -> Iterator[str]:
    for workload in manifests.workloads:
        for container in workload.all_containers:
            for problem in problems_of(manifests.overlay, container):
                yield f"{workload.name}/{container.name}: {problem}"


def problems_of(overlay: str, container: Container) -> Iterator[str]:
    readers = _readers(container)
    if not readers:
        return
    environ = Recorded(container.environ)
    for read in readers:
        try:
            read(environ)
        except SettingsError as error:
            yield f"invalid settings: {error}"
            return
    for name in sorted(environ.keys() - environ.read):
        if not name.startswith(LIBRARIES):
            yield f"nothing reads {name}"
    yield from _read_as(overlay, container, environ.read)


def _read_as(overlay: str, container: Container, read: set[str]) -> Iterator[str]:
    environ = container.environ
    if environ.get("HOST", "0.0.0.0") != "0.0.0.0":
        yield "it listens on an address that other pods cannot reach"
    if overlay == "gke" and "ENVIRONMENT" in read and not is_production(environ):
        yield "it is not configured for production"
    if "BACKEND" in read and "BACKEND" in environ:
        backend = BackendSettings.from_environ(environ)
        for name, value in EXPECTED[overlay].items():
            if getattr(backend, name) != value:
                yield f"its {name} is {getattr(backend, name)!r}"


def _readers(container: Container) -> list[Callable[[Mapping[str, str]], object]]:
    """Return the functions that read the environment of the container's process."""
    if container.program == "sagactl":
        return _command_readers(container)
    if container.program == "gateway":
        return [importlib.import_module("services.gateway.settings").Settings.from_environ]
    if container.program in topology.TOPICS:
        own = f"services.{container.program}.settings"
        more = [importlib.import_module(own).Settings.from_environ] if find_spec(own) else []
        return [ServiceSettings.from_environ, *more]
    return []


def _command_readers(container: Container) -> list[Callable[[Mapping[str, str]], object]]:
    """Return readers of the command's options, and of the backend if it uses one."""
    name, *args = container.spec["args"]
    command = sagactl.get_command(click.Context(sagactl), name)
    if command is None:
        return [_reject(f"unknown command: sagactl {name}")]

    def options(environ: Mapping[str, str]) -> None:
        try:
            command.make_context(name, list(args))
        except click.ClickException as error:
            raise SettingsError(name, error.format_message()) from error
        for parameter in command.params:
            if isinstance(parameter.envvar, str):
                environ.get(parameter.envvar)

    return [options] if name == "seed" else [options, BackendSettings.from_environ]


def _reject(message: str) -> Callable[[Mapping[str, str]], object]:
    def read(_: Mapping[str, str]) -> None:
        raise SettingsError("args", message)

    return read
