"""Simulations: services run from a seed on virtual time, under faults of every kind."""

import gc
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import structlog

from sagakit.batching import BatchLimits
from sagakit.bus import subscription_name
from sagakit.service import Kit, Service, ServiceFactory
from sagakit.settings import ServiceSettings
from sagakit.testing.campaign import RUN_SAGAS, Campaign
from sagakit.testing.faults import UNRELIABLE, FaultRates
from sagakit.testing.loop import run
from sagakit.testing.scenario import Outcome, Scenario
from sagakit.testing.world import World
from sagakit.topology import Topology

SMALL_RUNS = {1: 40, 2: 20, 3: 13, 5: 8, 8: 5, 13: 3, 21: 2, 34: 2, 55: 2, 89: 1, 144: 1}
"""Numbers of sagas, and the seeds that are tried with each, to find a small run that fails as well."""
MAX_PROBLEMS = 10
ALLOCATIONS = 100_000
"""Net allocations between two garbage collections of a run: most of its objects live as long as a saga."""
UNUSED = {"BACKEND": "embedded", "EMBEDDED_FILE": "unused", "PORT": "0"}
"""Settings that must be there, and that a simulated process does not use."""


class SimulationFailed(AssertionError):
    """A promise was broken; the message is a report of one screen."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The smallest run that was found to break a promise, and how to repeat it."""

    outcome: Outcome
    report: str
    world: int | None = None
    """The seed from which the world was drawn; None: it was not drawn."""

    def __str__(self) -> str:
        return self.report


@dataclass(frozen=True, slots=True)
class Simulation:
    """Services of an application, what their clients do, what must hold, and what fails meanwhile.

    A message that the broker loses is replaced only if its publisher awaits a reply: then a reminder follows.
    A service whose reply is awaited by none, such as a newsletter that reacts to orders, relies on Pub/Sub's
    promise to deliver at least once. Name its subscriptions in `unawaited`: the simulated broker may delay
    and repeat their messages, and loses none. Those of foreign topics are among them anyway, and, in a
    topology that declares `awaits`, those of every service that neither awaits a reply nor is awaited.
    """

    topology: Topology
    services: Mapping[str, ServiceFactory]
    """By the names in the topology."""
    scenario: Callable[[World], Scenario]
    """Called at the start of every run: usually a subclass of `Scenario`."""
    faults: FaultRates = UNRELIABLE
    replicas: int | Mapping[str, int] = 2
    """Processes of each service; by their names if they differ."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """Settings of the services, beside those of their topics."""
    interval_seconds: float = 1.2
    """Mean time between the arrivals of sagas."""
    lease_seconds: int = 10
    """Time for which the broker leaves a message to a process that does not renew it."""
    max_outstanding: int = 100
    """Messages that the broker delivers to a process at a time, per subscription."""
    batches: BatchLimits = field(default_factory=BatchLimits)
    """Which calls of the database transactions share."""
    unawaited: Collection[str] = ()
    """Subscriptions from which no reply is awaited."""
    must_reach: Collection[str] = ()
    """Names that the runs of `check` must reach together (`World.reached`): the scenario's own, and what
    every simulation counts, which is `fault NAME` (`FaultRates.names()` has all), `SERVICE: event OUTCOME`,
    `conflict on KIND`, `expiry of KIND`, TAKEN_OVER, HALF_FAILED and REMINDERS_PAUSED."""
    draw: "Callable[[Simulation, Random], Simulation] | None" = None
    """Draws the world of each run from its seed, such as `draw_world`: faults, replicas, limits, settings,
    scenario. None: every run is as stated here."""

    def run(self, seed: int = 1, sagas: int = RUN_SAGAS, world: int | None = None) -> Outcome:
        """Run once. The same seed and number of sagas give the same run, message by message.

        `world`: the seed from which the world is drawn, if it is another one.
        """
        return play(World(self.in_world(seed if world is None else world), seed, sagas))

    def in_world(self, seed: int) -> "Simulation":
        """Return the simulation in the world that is drawn from this seed."""
        if self.draw is None:
            return self
        return replace(self.draw(self, Random(f"world {seed}")), draw=None)

    def processes(self) -> Mapping[str, int]:
        """Return how many processes each service has."""
        names, replicas = self.topology.names, self.replicas
        return replicas if isinstance(replicas, Mapping) else dict.fromkeys(names, replicas)

    def check(self, sagas: int = 1_000, seed: int = 1) -> None:
        """Run until `sagas` sagas have ended.

        Raises SimulationFailed if a promise is broken, or if something in `must_reach` was never reached.
        """
        campaign = Campaign(self)
        failed = campaign.run(sagas, seed)
        if failed is not None:
            raise SimulationFailed(self.explain(failed).report)
        if campaign.unreached:
            raise SimulationFailed(campaign.unreached_report())

    def finds(
        self, bug: AbstractContextManager[Any] | None = None, sagas: int = 1_000, seed: int = 1
    ) -> Failure:
        """Return how the simulation finds a bug that was planted.

        `bug` is present while the simulation runs; None: it is in the services. Raises AssertionError if
        `sagas` sagas do not show it: then the scenario promises too little, or too little fails.
        """
        with bug or nullcontext():
            failure = self.failure(sagas, seed)
        if failure is None:
            raise AssertionError(f"the planted bug was not found within {sagas} sagas")
        return failure

    def failure(self, sagas: int, seed: int = 1) -> Failure | None:
        """Return the smallest run that was found to break a promise; None if `sagas` sagas break none."""
        failed = Campaign(self).run(sagas, seed)
        return None if failed is None else self.explain(failed)

    def without_reminders(self) -> "Simulation":
        """Return this simulation with services that send no reminders, for brokers that lose no message."""
        services = {name: _without_reminders(build) for name, build in self.services.items()}
        return replace(self, services=services)

    def settings(self, service: str) -> ServiceSettings:
        """Return the settings of a service's processes."""
        return ServiceSettings.from_environ({**self.topology.environ(service), **self.environ, **UNUSED})

    def at_least_once(self) -> frozenset[str]:
        """Return the subscriptions from which the simulated broker loses no message."""
        topology = self.topology
        foreign = set(topology.foreign_topics.values())
        awaited = {name for service in topology.services for name in service.awaits}
        alone = [each.name for each in topology.services if not each.awaits and each.name not in awaited]
        return frozenset(self.unawaited) | {
            subscription_name(service, topic)
            for service in topology.names
            for topic in topology.subscribed_topics(service)
            if topic in foreign or (awaited and service in alone)
        }

    def explain(self, failed: Outcome) -> Failure:
        """Return the smallest run in the same world that was found to fail like this one, with its story."""
        if self.draw is None:
            return self._report(self._smallest(failed))
        found = self.in_world(failed.seed).explain(failed)
        repeated = f"{found.report.removesuffix(')')}, world={failed.seed})"
        return replace(found, world=failed.seed, report=repeated)

    def _settings_text(self) -> str:
        batches = self.batches
        stated = {
            **self.environ,
            "arrivals every": f"{self.interval_seconds:.2g} s",
            "leases": f"{self.lease_seconds} s",
            "outstanding": self.max_outstanding,
            "calls in flight": batches.in_flight,
            "transactions a commit": batches.transactions,
            "mutations": batches.mutations,
        }
        return ", ".join(f"{name} {value}" for name, value in stated.items())

    def _smallest(self, failed: Outcome) -> Outcome:
        for sagas, seeds in SMALL_RUNS.items():
            if sagas >= failed.sagas:
                break
            for seed in range(failed.seed, failed.seed + seeds):
                outcome = self.run(seed, sagas)
                if outcome.problems:
                    return outcome
        return failed

    def _report(self, outcome: Outcome) -> Failure:
        world = World(self, outcome.seed, outcome.sagas, tell=True)
        play(world)
        story = world.story
        assert story is not None  # noqa: S101  it was asked for
        first, *others = dict.fromkeys(outcome.problems)
        subject = story.subject(first)
        processes = ", ".join(f"{count} {name}" for name, count in self.processes().items())
        sagas = f"{outcome.sagas} saga{'s' if outcome.sagas > 1 else ''}"
        lines = [
            f"seed {outcome.seed}, {sagas}; processes: {processes}",
            f"faults: {self.faults}",
            f"settings: {self._settings_text()}",
            *filter(None, [world.scenario.describe()]),
            f"broken: {first}",
            *(f"        {each}" for each in others[:MAX_PROBLEMS]),
            *([f"        and {len(others) - MAX_PROBLEMS} more"] if len(others) > MAX_PROBLEMS else []),
            f"the story of {subject or 'everything'}:",
            *story.about(subject),
            f"to repeat: .run(seed={outcome.seed}, sagas={outcome.sagas})",
        ]
        return Failure(outcome, "\n".join(lines))


def play(world: World) -> Outcome:
    """Run a world on virtual time."""
    with _errors_are_noted(world), _garbage_is_collected_rarely():
        outcome: Outcome = run(world.run)
    return outcome


@contextmanager
def _garbage_is_collected_rarely() -> Iterator[None]:
    usual = gc.get_threshold()
    gc.set_threshold(ALLOCATIONS, 2, 2)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


@contextmanager
def _errors_are_noted(world: World) -> Iterator[None]:
    # Logging would dominate the run time. An error that is logged is a bug.
    configured = structlog.get_config() if structlog.is_configured() else None
    structlog.configure(
        processors=[structlog.processors.format_exc_info, world.note_error],
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR),
        logger_factory=structlog.ReturnLoggerFactory(),
    )
    try:
        yield
    finally:
        structlog.reset_defaults()
        if configured is not None:
            structlog.configure(**configured)


def _without_reminders(build: ServiceFactory) -> ServiceFactory:
    def built(kit: Kit) -> Service:
        return replace(build(kit), reminders={})

    return built
