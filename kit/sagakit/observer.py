"""The interface to telemetry: the core calls an observer with what it does, and knows no metric or span."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # The modules that define these types use the runtime, which holds an observer.
    from sagakit.bus import Delivery
    from sagakit.events import Event
    from sagakit.tables import Entity, Key, Row

Report = Callable[..., None]
NO_KIND = "-"
"""Stands for the kind of a row where it is not known."""
_NOTHING: AbstractContextManager[Any] = nullcontext(lambda *_: None)


class Observer:
    """Ignores everything. Subclasses record; no method may block, await or raise.

    Methods that return a context manager are entered around the work, and see its exception.
    """

    def transaction(self) -> AbstractContextManager[Report]:
        """Around a transaction with all its attempts; call the report with whether it committed anything."""
        return _NOTHING

    def attempt(self, number: int) -> None:
        """Attempt `number` (from 1) of the current transaction begins."""

    def conflict(self) -> None:
        """A commit failed because another writer committed first."""

    def annotate(
        self, topic: str, writes: "Mapping[Key, Entity]", events: "Sequence[Event]"
    ) -> "tuple[Mapping[Key, Entity], Sequence[Event]]":
        """Return a transaction's writes and events with the context that later work on them belongs to."""
        return writes, events

    def looked_up(self, keys: int) -> None:
        """A lookup with this many keys was sent."""

    def sent_commit(self, transactions: int) -> None:
        """A commit with this many transactions was sent."""

    def committed(self, keys: "Iterable[Key]") -> None:
        """The entities with these keys were written."""

    def enqueued(self, topic: str, event: "Event", claims: int) -> None:
        """The relay has an event to publish; `claims` is how often a sweeper has claimed its outbox row."""

    def publishing(self, count: int) -> AbstractContextManager[Any]:
        """Around one call of the broker with `count` events."""
        return _NOTHING

    def published(self, events: "Sequence[Event]") -> None:
        """The broker has accepted these events, in one batch."""

    def removed(self, eventids: Iterable[str]) -> None:
        """These published events are no longer in the relay; their outbox rows are deleted, if possible."""

    def given_up(self, events: "Sequence[Event]", error: Exception) -> None:
        """The relay could not publish these events; they stay in the outbox for a sweeper."""

    def delivery(self, subscription: str, delivery: "Delivery") -> AbstractContextManager[Report]:
        """Around the processing of a delivery; call the report with its outcome and the error, if any."""
        return _NOTHING

    def ignored(self, subscription: str) -> None:
        """A delivery was acknowledged because its attributes alone tell that it concerns nothing here."""

    def sweep(self, kind: str, found: int) -> AbstractContextManager[Any]:
        """Around the claims of the `found` rows that a sweeper's query returned."""
        return _NOTHING

    def claim(self, key: "Key", row: "Row") -> AbstractContextManager[Any]:
        """Around the claim of one row."""
        return _NOTHING

    def row_failed(self, kind: str) -> None:
        """A row could not be processed, and was left as it is. NO_KIND: of several kinds."""

    def task_failed(self, name: str) -> None:
        """A background task of the service raised an exception."""

    def reminding(self, *, active: bool) -> None:
        """Whether reminders are being sent now; they pause while the service is saturated."""

    def waiting(self, key: "Key", entity: "Entity", due: float) -> None:
        """An entity still awaits a reply, and is checked again at `due` (seconds since the epoch)."""

    def settled(self, key: "Key") -> None:
        """An entity awaits no reply any more, or another process has claimed it."""
