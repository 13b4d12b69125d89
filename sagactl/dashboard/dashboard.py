"""Listens to a suite and looks into it, so that its state can be told at any moment."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import structlog

from contract.live_tickets import ticket_subscriber
from contract.topology import DEAD_LETTER_TOPIC, TOPICS, ephemeral_subscription_name
from sagactl.dashboard.queue_depth import Backlog, QueueDepth, count_dead_letters, idle_after, load_backlog
from sagactl.dashboard.state import State
from sagactl.dashboard.stats import OrderStats
from sagakit.backends import Broker
from sagakit.bus import Message, PullSubscription
from sagakit.errors import SagaError
from sagakit.fanout import FanoutSubscriber
from sagakit.runtime import Runtime
from sagakit.tables import Tables

DEAD_LETTERS_INTERVAL_SECONDS = 60.0
PROGRAMS_INTERVAL_SECONDS = 2.0
WARNING_SECONDS = 15.0
"""How long a complaint is shown."""


@dataclass(frozen=True, slots=True)
class DataSources:
    """Where everything is to be had."""

    where: str
    messages: Broker
    tables: Tables
    dead_letters: Callable[[], AbstractAsyncContextManager[PullSubscription]]
    """Opens the dead letters."""
    programs: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]] | None
    """Asks a local suite for its processes; Unavailable: it is gone. None: there is no local suite."""


class Dashboard:
    """What is known of a suite, while `run`."""

    def __init__(self, sources: DataSources, runtime: Runtime) -> None:
        self._sources = sources
        self._runtime = runtime
        self._board = OrderStats(runtime.now)
        self._heard_topics = 0
        self._backlog: Backlog | None = None
        self._dead_letter_depth: QueueDepth | None = None
        self._programs: Sequence[Mapping[str, Any]] | None = None
        self._warning = ("", float("-inf"))
        self.loaded = asyncio.Event()
        """Set once everything was loaded at and every topic is recent, or that cannot be done."""

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Afterwards nothing of it is left at the broker, if that is there."""
        tasks = [
            ticket_subscriber(
                self._sources.messages, self._board.on_ticket, self._subscribed, self._runtime
            ).run(),
            self._dead_letters().run(),
            self._poll_tables(),
            self._poll_dead_letters(),
            self._poll_programs(),
        ]
        async with asyncio.TaskGroup() as group:
            going = [group.create_task(task) for task in tasks]
            try:
                yield
            finally:
                for task in going:
                    task.cancel()

    def state(self) -> State:
        """As of now."""
        warning, at = self._warning
        return State(
            now=self._runtime.now(),
            where=self._sources.where,
            listening=self._listening,
            summary=self._board.summary(),
            backlog=self._backlog,
            dead_letters=self._dead_letter_depth,
            programs=self._programs,
            warning=warning if self._runtime.now() - at < WARNING_SECONDS else "",
        )

    def warn(self, _logger: object, _name: str, line: MutableMapping[str, Any]) -> NoReturn:
        """A processor of structlog's, for what would be logged: it is shown instead."""
        why = line.get("error") or line.get("why") or ""
        self._warning = (f"{line['event']}: {why}" if why else str(line["event"])), self._runtime.now()
        raise structlog.DropEvent

    @property
    def _listening(self) -> bool:
        return self._heard_topics >= len(TOPICS)

    def _subscribed(self) -> None:
        self._heard_topics += 1
        self._check_loaded()

    def _check_loaded(self) -> None:
        if self._listening and self._backlog is not None and self._dead_letter_depth is not None:
            self.loaded.set()

    def _dead_letters(self) -> FanoutSubscriber:
        def receive(_source: str, _message: Message) -> None:
            self._board.add_dead_letter()
            if self._dead_letter_depth is not None:
                self._dead_letter_depth = QueueDepth(
                    self._dead_letter_depth.count + 1, None, self._dead_letter_depth.more
                )

        topics = {"dead-letter": DEAD_LETTER_TOPIC}
        return FanoutSubscriber(
            self._sources.messages, topics, receive, lambda: None, ephemeral_subscription_name, self._runtime
        )

    async def _poll_tables(self) -> None:
        while True:
            began = self._runtime.now()
            try:
                self._backlog = await load_backlog(self._sources.tables, began)
            except SagaError as error:
                self._backlog = None
                self._warn_unavailable(error)
            self._check_loaded()
            await self._runtime.sleep(idle_after(max(0.0, self._runtime.now() - began)))

    async def _poll_dead_letters(self) -> None:
        while True:
            try:
                async with self._sources.dead_letters() as subscription:
                    self._dead_letter_depth = await count_dead_letters(subscription)
            except SagaError as error:
                self._warn_unavailable(error)
            self._check_loaded()
            await self._runtime.sleep(DEAD_LETTERS_INTERVAL_SECONDS)

    async def _poll_programs(self) -> None:
        while self._sources.programs is not None:
            try:
                self._programs = await self._sources.programs()
            except SagaError as error:
                self._programs = []
                self._warning = str(error), self._runtime.now()
            await self._runtime.sleep(PROGRAMS_INTERVAL_SECONDS)

    def _warn_unavailable(self, error: SagaError) -> None:
        self._warning = f"cannot look: {error}", self._runtime.now()
        self.loaded.set()
