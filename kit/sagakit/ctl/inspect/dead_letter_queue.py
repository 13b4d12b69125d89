"""The dead letters of a suite, gone through page by page: read, redriven or dropped."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from sagakit.bus import PULL_LEASE_SECONDS, Bus, Message, PulledMessage, PullSubscription
from sagakit.ctl.inspect.dead_letters import REDRIVEN_TIME, DeadLetter
from sagakit.ctl.project import Project
from sagakit.dead_letters import REDUCED_ATTRIBUTE
from sagakit.errors import Poison, Unavailable
from sagakit.events import timestamp
from sagakit.tables import Tables

PAGE = 100
MAX_HELD = 10_000
"""Dead letters that one command leaves where they are, before it stops."""
_NO_MESSAGE = Message(b"", {})
EXTEND_INTERVAL_SECONDS = PULL_LEASE_SECONDS / 3

UNKNOWN_TOPIC = "their topic is unknown"
NOT_COMPARED = "the project compares it with no record"
UNVERIFIED = "they are unverified, and --unverified is not given"
INCOMPLETE = "only a part of them was recorded"
CAME_BACK = "they failed again"
LEASE_ENDED = "their lease ended first, so that they may stay"
TOO_SLOW = "the broker answers more slowly than its leases last"

Wanted = Callable[[DeadLetter], bool]


@dataclass(frozen=True, slots=True)
class Handled:
    """A dead letter, and why it was left; "": it was redriven or dropped."""

    letter: DeadLetter
    left: str = ""


Report = Callable[[Handled], None]
"""Called for each dead letter as soon as it is handled, so that what was done is known if the rest fails."""


class DeadLetterQueue:
    """The dead-letter subscription of a suite. Raises Unavailable if the broker cannot be reached.

    What a command leaves stays leased until the command ends, so that it meets every dead letter once.
    """

    def __init__(
        self,
        subscription: PullSubscription,
        bus: Bus,
        tables: Tables,
        project: Project,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`bus` publishes what is redriven; `tables` has the records that dead letters are compared with."""
        self.is_complete = True
        """Whether the last call went through all dead letters, instead of leaving MAX_HELD and ending."""
        self.unwanted = 0
        """How many dead letters of the last call were not wanted."""
        self._subscription = subscription
        self._bus = bus
        self._tables = tables
        self._project = project
        self._monotonic = monotonic
        self._held: list[PulledMessage] = []
        self._extended_at = 0.0
        self._lease_ends = 0.0

    async def read(self, wanted: Wanted, each: Callable[[DeadLetter], None]) -> None:
        """Call `each` with every wanted dead letter; all of them stay."""

        async def act(letters: list[DeadLetter]) -> None:
            self._hold(letters)
            for letter in letters:
                each(letter)

        await self._go_through(wanted, act)

    async def drop(self, wanted: Wanted, report: Report) -> None:
        """Remove the wanted dead letters for good."""

        async def act(letters: list[DeadLetter]) -> None:
            are_gone = await self._acknowledge(letters)
            for letter in letters:
                report(Handled(letter, "" if are_gone else LEASE_ENDED))
            if not are_gone:
                raise Unavailable(TOO_SLOW)

        await self._go_through(wanted, act)

    async def redrive(self, wanted: Wanted, report: Report, now: float, *, unverified: bool = False) -> None:
        """Publish the wanted dead letters to their topics again, and remove them.

        Every subscriber of a topic receives them; inboxes ignore events that were applied. Those without a
        topic of the suite stay, and so do unverified ones unless `unverified`, and those that come back as
        dead letters while the command runs.
        """

        async def act(letters: list[DeadLetter]) -> None:
            topics: dict[str, list[DeadLetter]] = {}
            for letter in letters:
                if left := why_left(letter, now, unverified=unverified):
                    self._leave(letter, left, report)
                else:
                    topics.setdefault(str(letter.topic), []).append(letter)
            for topic, chosen in topics.items():
                await self._republish(topic, chosen, now, report)

        await self._go_through(wanted, act)

    async def _republish(self, topic: str, letters: list[DeadLetter], now: float, report: Report) -> None:
        try:
            await self._bus.publish(topic, [letter.to_redrive(now) for letter in letters])
        except Poison as poison:
            if len(letters) == 1:
                self._leave(letters[0], f"the broker rejects them: {poison.reason}", report)
                return
            # It rejects all of them because of one.
            for letter in letters:
                await self._republish(topic, [letter], now, report)
        else:
            # Only now: after a crash in between they are published twice, which is harmless.
            are_gone = await self._acknowledge(letters)
            for letter in letters:
                report(Handled(letter))
            if not are_gone:
                raise Unavailable(TOO_SLOW)

    async def _go_through(self, wanted: Wanted, act: Callable[[list[DeadLetter]], Awaitable[None]]) -> None:
        """Call `act` with the wanted dead letters of each page, and leave the others."""
        self._extended_at, self.is_complete, self.unwanted = self._monotonic(), True, 0
        try:
            while page := await self._pull():
                letters = await self._verified([DeadLetter(each, self._project) for each in page])
                unwanted = [letter for letter in letters if not wanted(letter)]
                self._hold(unwanted)
                self.unwanted += len(unwanted)
                if chosen := [letter for letter in letters if wanted(letter)]:
                    await act(chosen)
                if len(self._held) >= MAX_HELD:
                    self.is_complete = False
                    return
        finally:
            held, self._held = self._held, []
            await self._subscription.release(held)

    async def _verified(self, letters: list[DeadLetter]) -> list[DeadLetter]:
        """Return the dead letters, each with why it is not verified, if it is not."""
        verify = self._project.verify
        if verify is None:
            return [replace(letter, unverified=NOT_COMPARED) for letter in letters]
        why = await verify(self._tables, [(letter.topic, letter.message) for letter in letters])
        return [replace(letter, unverified=each) for letter, each in zip(letters, why, strict=True)]

    async def _pull(self) -> list[PulledMessage]:
        if self._monotonic() - self._extended_at >= EXTEND_INTERVAL_SECONDS:
            self._extended_at = self._monotonic()
            await self._subscription.extend(self._held)
        self._lease_ends = self._monotonic() + PULL_LEASE_SECONDS
        return await self._subscription.pull(PAGE)

    def _leave(self, letter: DeadLetter, why: str, report: Report) -> None:
        self._hold([letter])
        report(Handled(letter, why))

    def _hold(self, letters: Sequence[DeadLetter]) -> None:
        # Without their bodies, which may have megabytes.
        self._held += [replace(letter.pulled, message=_NO_MESSAGE) for letter in letters]

    async def _acknowledge(self, letters: Sequence[DeadLetter]) -> bool:
        """Remove dead letters; return whether that is certain."""
        await self._subscription.acknowledge([letter.pulled for letter in letters])
        return self._monotonic() < self._lease_ends


def why_left(letter: DeadLetter, now: float, *, unverified: bool) -> str:
    """Return why a redrive at `now` leaves a dead letter; "" if it does not."""
    if letter.topic is None:
        return UNKNOWN_TOPIC
    if REDUCED_ATTRIBUTE in letter.message.attributes:
        return INCOMPLETE
    if letter.unverified and not unverified:
        return UNVERIFIED
    return CAME_BACK if letter.message.attributes.get(REDRIVEN_TIME) == timestamp(now) else ""
