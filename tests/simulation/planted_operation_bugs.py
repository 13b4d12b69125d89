"""Planted bugs of what happens around the services: expiry, redrives and rolling restarts."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from sagakit import inbox
from sagakit.bus import Message, SubscriptionSpec
from sagakit.consumer import Consumer
from sagakit.ctl.inspect.dead_letter_queue import DeadLetterQueue
from sagakit.ctl.inspect.dead_letters import DeadLetter
from sagakit.testing.broker import MemoryBroker
from tests.simulation.bug import Planted, bug
from tests.simulation.faults import OPERATED

WITHOUT_LOSS = replace(OPERATED, dropped=0, emptied=0, mixed_versions=False)


@bug(faults=replace(OPERATED, late_repeats=1))
def inbox_rows_expire_before_their_command_is_repeated() -> Planted:
    return patch.object(inbox, "INBOX_RETENTION", timedelta(hours=12))


@bug(faults=OPERATED)
def a_redrive_loses_the_eventid() -> Planted:
    def to_redrive(self: DeadLetter, now: float) -> Message:
        message = original(self, now)
        kept = {name: value for name, value in message.attributes.items() if name != "eventid"}
        return replace(message, attributes=kept)

    original = DeadLetter.to_redrive
    return patch.object(DeadLetter, "to_redrive", to_redrive)


@bug(faults=replace(WITHOUT_LOSS, poisoned=0.1), reminders=False)
def a_redrive_acknowledges_before_it_publishes() -> Planted:
    async def republish(self: DeadLetterQueue, topic: str, letters: list[DeadLetter], *rest: Any) -> None:
        await self._acknowledge(letters)
        await original(self, topic, letters, *rest)

    original = DeadLetterQueue._republish
    return patch.object(DeadLetterQueue, "_republish", republish)


@bug(faults=replace(WITHOUT_LOSS, provisions_per_minute=20), reminders=False)
def provisioning_makes_subscriptions_anew() -> Planted:
    """Messages that wait in one, or are in flight, are lost."""

    def ensure(self: MemoryBroker, spec: SubscriptionSpec) -> str:
        self.remove_subscription(spec.name)
        return original(self, spec)

    original = MemoryBroker.ensure_subscription
    return patch.object(MemoryBroker, "ensure_subscription", ensure)


@bug(faults=replace(WITHOUT_LOSS, drains_per_minute=60, unavailable=0.05), reminders=False)
def a_drain_acknowledges_before_the_commit() -> Planted:
    """Deliveries in flight are taken for done, because they usually are a moment later."""

    def receive(self: Consumer, subscription: str, delivery: Any, failure: Any) -> None:
        waiting = asyncio.create_task(acknowledge_on_stop(self, delivery))
        tasks.setdefault(self, set()).add(waiting)
        waiting.add_done_callback(tasks[self].discard)
        original(self, subscription, delivery, failure)

    async def acknowledge_on_stop(self: Consumer, delivery: Any) -> None:
        await self._stopping.wait()
        delivery.ack()

    tasks: dict[Consumer, set[asyncio.Task[None]]] = {}
    original = Consumer._receive
    return patch.object(Consumer, "_receive", receive)
