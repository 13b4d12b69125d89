"""Listens to a suite and looks into it, so that its state can be told at any moment."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import structlog

from contract.live_tickets import ticket_subscriber
from contract.topology import DEAD_LETTER_TOPIC, TOPICS, ephemeral_subscription_name
from sagactl.dashboard.queue_depth import Backlog, Pile, count_letters, read_backlog, rest_after
from sagactl.dashboard.state import State
from sagactl.dashboard.stats import Board
from sagakit.backends import Broker
from sagakit.bus import Message, PullSubscription
from sagakit.errors import SagaError
from sagakit.fanout import FanoutSubscriber
from sagakit.runtime import Runtime
from sagakit.tables import Tables

DEAD_LETTERS_INTERVAL_SECONDS = 60.0
PROGRAMS_SECONDS = 2.0
TROUBLE_SECONDS = 15.0
"""How long a complaint is shown."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where everything is to be had."""

    where: str
    messages: Broker
    tables: Tables
    letters: Callable[[], AbstractAsyncContextManager[PullSubscription]]
    """Opens the dead letters."""
    programs: Callable[[], Awaitable[Sequence[Mapping[str, Any]]]] | None
    """Asks a local suite for its processes; Unavailable: it is gone. None: there is no local suite."""


class Watching:
    """What is known of a suite, while `going_on`."""

    def __init__(self, sources: Sources, runtime: Runtime) -> None:
        self._sources = sources
        self._runtime = runtime
        self._board = Board(runtime.now)
        self._heard_topics = 0
        self._backlog: Backlog | None = None
        self._letters: Pile | None = None
        self._programs: Sequence[Mapping[str, Any]] | None = None
        self._trouble = ("", float("-inf"))
        self.looked = asyncio.Event()
        """Set once everything was looked at and every topic is heard, or that cannot be done."""

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Afterwards nothing of it is left at the broker, if that is there."""
        tasks = [
            ticket_subscriber(self._sources.messages, self._board.hear, self._heard, self._runtime).run(),
            self._dead_letters().run(),
            self._look_at_tables(),
            self._look_at_letters(),
            self._look_at_programs(),
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
        trouble, at = self._trouble
        return State(
            now=self._runtime.now(),
            where=self._sources.where,
            listening=self._listening,
            figures=self._board.figures(),
            backlog=self._backlog,
            letters=self._letters,
            programs=self._programs,
            trouble=trouble if self._runtime.now() - at < TROUBLE_SECONDS else "",
        )

    def complain(self, _logger: object, _name: str, line: MutableMapping[str, Any]) -> NoReturn:
        """A processor of structlog's, for what would be logged: it is shown instead."""
        why = line.get("error") or line.get("why") or ""
        self._trouble = (f"{line['event']}: {why}" if why else str(line["event"])), self._runtime.now()
        raise structlog.DropEvent

    @property
    def _listening(self) -> bool:
        return self._heard_topics >= len(TOPICS)

    def _heard(self) -> None:
        self._heard_topics += 1
        self._look_done()

    def _look_done(self) -> None:
        if self._listening and self._backlog is not None and self._letters is not None:
            self.looked.set()

    def _dead_letters(self) -> FanoutSubscriber:
        def receive(_source: str, _message: Message) -> None:
            self._board.hear_dead_letter()
            if self._letters is not None:
                self._letters = Pile(self._letters.count + 1, None, self._letters.more)

        topics = {"dead-letter": DEAD_LETTER_TOPIC}
        return FanoutSubscriber(
            self._sources.messages, topics, receive, lambda: None, ephemeral_subscription_name, self._runtime
        )

    async def _look_at_tables(self) -> None:
        while True:
            began = self._runtime.now()
            try:
                self._backlog = await read_backlog(self._sources.tables, began)
            except SagaError as error:
                self._backlog = None
                self._cannot_look(error)
            self._look_done()
            await self._runtime.sleep(rest_after(max(0.0, self._runtime.now() - began)))

    async def _look_at_letters(self) -> None:
        while True:
            try:
                async with self._sources.letters() as subscription:
                    self._letters = await count_letters(subscription)
            except SagaError as error:
                self._cannot_look(error)
            self._look_done()
            await self._runtime.sleep(DEAD_LETTERS_INTERVAL_SECONDS)

    async def _look_at_programs(self) -> None:
        while self._sources.programs is not None:
            try:
                self._programs = await self._sources.programs()
            except SagaError as error:
                self._programs = []
                self._trouble = str(error), self._runtime.now()
            await self._runtime.sleep(PROGRAMS_SECONDS)

    def _cannot_look(self, error: SagaError) -> None:
        self._trouble = f"cannot look: {error}", self._runtime.now()
        self.looked.set()
