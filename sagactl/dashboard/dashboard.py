"""The dashboard's state: events as they are published, and what is polled from the backend."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

import structlog

from contract.live_tickets import ticket_subscriber
from contract.topology import TOPOLOGY
from sagactl.dashboard.queue_depth import Backlog, QueueDepth, count_dead_letters, idle_after, load_backlog
from sagactl.dashboard.stats import OrderStats, Summary
from sagakit.backends import Broker
from sagakit.bus import Message, PullSubscription
from sagakit.errors import SagaError
from sagakit.fanout import FanoutSubscriber
from sagakit.runtime import Runtime
from sagakit.tables import Tables

DEAD_LETTERS_INTERVAL_SECONDS = 300.0
"""Between two counts, which show what was redriven or dropped; new ones are received when published."""
PROGRAMS_INTERVAL_SECONDS = 2.0
WARNING_SECONDS = 15.0
"""How long a warning is shown."""

Programs = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class DataSources:
    """The sources that the dashboard reads."""

    where: str
    """The suite, for the title."""
    broker: Broker
    tables: Tables
    dead_letters: Callable[[], AbstractAsyncContextManager[PullSubscription]]
    """Opens the dead-letter subscription."""
    programs: Callable[[], Awaitable[Programs]] | None
    """Returns the processes of a local suite. Raises Unavailable if it has ended. None: not a local suite."""


@dataclass(frozen=True, slots=True)
class State:
    """A snapshot; None is unknown."""

    now: float
    """Seconds since the epoch."""
    where: str
    listening: bool
    """Whether the events of every topic are received."""
    summary: Summary
    backlog: Backlog | None = None
    dead_letters: QueueDepth | None = None
    programs: Programs | None = None
    """The processes of a local suite; None: not a local suite."""
    warning: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain data under the same names."""
        return asdict(self)


class Dashboard:
    """Keeps the state up to date while `run`."""

    def __init__(self, sources: DataSources, runtime: Runtime) -> None:
        self._sources = sources
        self._runtime = runtime
        self._stats = OrderStats(runtime.now, runtime.monotonic)
        self._tickets = ticket_subscriber(
            sources.broker, self._stats.on_ticket, self._check_loaded, runtime, self._stats.on_other
        )
        self._backlog: Backlog | None = None
        self._dead_letters: QueueDepth | None = None
        self._programs: Programs | None = None
        self._warning = ("", float("-inf"))
        self.loaded = asyncio.Event()
        """Set once all sources were read and every topic is subscribed to, or one has failed."""

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Context manager: update the state inside the block; the subscriptions are deleted afterwards."""
        work = [
            self._tickets.run(),
            self._dead_letter_subscriber().run(),
            self._poll_tables(),
            self._poll_dead_letters(),
            self._poll_programs(),
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    def state(self) -> State:
        """Return the state as of now."""
        warning, at = self._warning
        return State(
            now=self._runtime.now(),
            where=self._sources.where,
            listening=self._tickets.is_receiving,
            summary=self._stats.summary(),
            backlog=self._backlog,
            dead_letters=self._dead_letters,
            programs=self._programs,
            warning=warning if self._runtime.monotonic() - at < WARNING_SECONDS else "",
        )

    def warn(self, _logger: object, _name: str, line: MutableMapping[str, Any]) -> NoReturn:
        """Show a log line as a warning instead of logging it: a processor for structlog."""
        reason = line.get("error") or line.get("reason") or ""
        self._show(f"{line['event']}: {reason}" if reason else str(line["event"]))
        raise structlog.DropEvent

    def _check_loaded(self) -> None:
        if self._tickets.is_receiving and self._backlog is not None and self._dead_letters is not None:
            self.loaded.set()

    def _dead_letter_subscriber(self) -> FanoutSubscriber:
        def receive(_source: str, _message: Message) -> None:
            self._stats.add_dead_letter()
            if self._dead_letters is not None:
                self._dead_letters = QueueDepth(self._dead_letters.count + 1, None, self._dead_letters.more)

        topics = {"dead-letter": TOPOLOGY.dead_letter_topic}
        return FanoutSubscriber(self._sources.broker, topics, receive, lambda: None, self._runtime)

    async def _poll_tables(self) -> None:
        while True:
            started_at = self._runtime.monotonic()
            try:
                self._backlog = await load_backlog(self._sources.tables, self._runtime.now())
            except SagaError as error:
                self._backlog = None
                self._fail(error)
            self._check_loaded()
            await self._runtime.sleep(idle_after(self._runtime.monotonic() - started_at))

    async def _poll_dead_letters(self) -> None:
        while True:
            try:
                async with self._sources.dead_letters() as subscription:
                    self._dead_letters = await count_dead_letters(subscription)
            except SagaError as error:
                self._fail(error)
            self._check_loaded()
            await self._runtime.sleep(DEAD_LETTERS_INTERVAL_SECONDS)

    async def _poll_programs(self) -> None:
        while self._sources.programs is not None:
            try:
                self._programs = await self._sources.programs()
            except SagaError as error:
                self._programs = []
                self._show(str(error))
            await self._runtime.sleep(PROGRAMS_INTERVAL_SECONDS)

    def _fail(self, error: SagaError) -> None:
        self._show(f"refresh failed: {error}")
        self.loaded.set()

    def _show(self, warning: str) -> None:
        self._warning = warning, self._runtime.monotonic()
