"""Describes a project to `sagactl`: its services, and what it adds to the command line."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sagakit.application import DEFAULT_APPLICATION, Application
from sagakit.bus import Message
from sagakit.migrations import Migration
from sagakit.tables import Tables
from sagakit.topology import Topology

Addresses = Mapping[str, Sequence[str]]
"""By service, "host:port" of each of its processes."""
Claim = tuple[str | None, Message]
"""The topic that a dead letter comes from, None if it is not one of the project's; and the message."""
Verify = Callable[[Tables, Sequence[Claim]], Awaitable[Sequence[str]]]
"""Returns why each dead letter is not verified; "": its publisher has a matching record."""
COLOURS = ("cyan", "yellow", "magenta", "blue", "green", "bright_cyan", "bright_yellow", "bright_magenta")


@dataclass(frozen=True, slots=True)
class Gateway:
    """The program of `sagactl up` that clients call: it listens at the option --port."""

    module: str
    """Started by `python -m`, with HOST, PORT, CONTROL_SOCKET and the address of each service."""
    name: str = "gateway"
    ready_path: str = "readyz"
    """Answers with a status below 400 once the suite can be used."""


@dataclass(frozen=True, slots=True)
class Running:
    """A suite that is ready, for the lines that tell its user what to try."""

    gateway: str
    """URL of the gateway; "" if the project has none."""
    logs: str
    """The directory with the logs."""
    token_command: str = ""
    """Prints a bearer token, if clients need one."""


@dataclass(frozen=True, slots=True)
class NewService:
    """A service that `sagactl new service` is about to write."""

    name: str
    subscribes_to: Sequence[str]
    publishes: bool

    @property
    def package(self) -> str:
        return self.name.replace("-", "_")

    @property
    def names(self) -> dict[str, str]:
        """The values of `$name` and other names in templates."""
        return {
            "name": self.name,
            "package": self.package,
            "Class": "".join(part.title() for part in self.name.split("-")),
            "subscribes_to": ", ".join(f'"{each}"' for each in self.subscribes_to),
            "subscribed": " and ".join(self.subscribes_to),
            "publishes": "yes" if self.publishes else "",
        }


@dataclass(frozen=True, slots=True)
class ServiceTemplates:
    """The files that `sagactl new service` writes in a project."""

    package: str
    """The package whose folder `templates/service` has them: whole files in `files`, below the project's
    folder, and declarations in `insert`, which are added to the files of these names."""
    topic: str
    """The topic of a service that publishes, with `$name`."""
    names: Callable[[NewService], Mapping[str, str]] = lambda _: {}
    """Further names that stand in the templates. Raises ValueError if such a service cannot be written."""
    generators: Sequence[Sequence[str]] = ()
    """Commands that bring up to date what is generated from declarations."""
    next_steps: Sequence[str] = ()


def is_process_of(program: str, process: str) -> bool:
    """Whether `process` is that program or a replica of it: those of `stock` are `stock-1` and so on."""
    return re.fullmatch(rf"{re.escape(program)}(-[0-9]+)?", process) is not None


def _no_lines(_running: Running) -> Sequence[str]:
    return ()


def event_type(message: Message) -> str:
    """Return the type of the event in a message, if it has one: what it is about, for want of more."""
    return message.attributes.get("type", "")


@dataclass(frozen=True, slots=True)
class Project:
    """A project, as `sagactl` sees it. Named in pyproject.toml: `[tool.sagactl] project = "module:NAME"`."""

    topology: Topology
    application: Application = DEFAULT_APPLICATION
    commands: Mapping[str, str] = field(default_factory=dict)
    """Commands of its own: name → module with a click command of that name, imported when it is called."""
    gateway: Gateway | None = None
    seeds: Sequence[str] = ()
    """Commands of its own that `up` runs once the services have started, and when an emulator was emptied."""
    ready_lines: Callable[[Running], Sequence[str]] = _no_lines
    """Lines that `up` prints once everything is ready."""
    migrations: Mapping[str, Migration] = field(default_factory=dict)
    """By name. Each is defined beside the kind that it converts."""
    audits: Mapping[str, str] = field(default_factory=dict)
    """Audits of several services' records: name → `module:NAME` of an `Audit`."""
    subject: Callable[[Message], str] = event_type
    """Returns what a message is about in a few words, such as `order 7: paid`, or ""."""
    verify: Verify | None = None
    """Compares dead letters with the records of their publishers; None: they cannot be compared."""
    status_colours: Mapping[str, str] = field(default_factory=dict)
    """Colours of the values of the field `status` in logs."""
    service_templates: ServiceTemplates | None = None
    """None: `sagactl new service` writes none."""
    reference: str = ""
    """`module:NAME` of this object; set when it is loaded, for processes that load it again."""
    root: Path | None = None
    """The folder of its packages, if it is not installed; set when it is loaded."""

    @property
    def programs(self) -> tuple[str, ...]:
        """The names of the programs of `sagactl up`: the services and the gateway."""
        return (*self.topology.names, *([self.gateway.name] if self.gateway else []))

    @property
    def colours(self) -> Mapping[str, str]:
        """The colour of each program."""
        return {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(self.programs)}
