"""Transactions: one lookup, one pure decision, one commit, and all of it again after a conflict."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from sagakit.errors import Contention, OutcomeUnknown, Unavailable
from sagakit.events import Event
from sagakit.locks import KeyedLocks
from sagakit.outbox import Outbox
from sagakit.relay import Relay
from sagakit.runtime import Backoff, Runtime
from sagakit.tables import Entity, Insert, Key, Mutation, Row, Tables, Update

R = TypeVar("R")

CONFLICT_BACKOFF = Backoff(first_seconds=0.004, cap_seconds=0.25, attempts=16)
MAX_UNKNOWN_OUTCOMES = 2
MAX_KEY_ROUNDS = 4
"""How often a transaction may require more keys."""


class MissingKeys(Exception):
    """Raised inside `decide` by `Snapshot.require`: restart the transaction, and look up `keys` too."""

    def __init__(self, keys: Sequence[Key]) -> None:
        super().__init__(keys)
        self.keys = keys


class NoTopicError(RuntimeError):
    """A transaction of a service that has no topic has events; nothing was committed."""

    def __init__(self) -> None:
        super().__init__("the transaction has events to publish, and EVENT_PUBLISH_TOPIC is not set")


class Snapshot:
    """The entities that a lookup returned, each as of its latest commit when it was read.

    A key that was not looked up counts as absent, and writing it is a blind insert: it costs no read,
    and is a conflict if the entity exists, after which `decide` runs again with the key looked up.
    """

    def __init__(self, rows: Mapping[Key, Row], looked_up: Collection[Key]) -> None:
        self._rows = rows
        self._looked_up = looked_up

    def get(self, key: Key) -> Entity | None:
        """Return the entity; None if it does not exist or was not looked up."""
        row = self._rows.get(key)
        return None if row is None else row.entity

    def require(self, keys: Iterable[Key]) -> None:
        """Return if all of `keys` were looked up; else restart the transaction with them looked up too.

        For keys that are known only from other entities, such as the items of a list.
        """
        missing = [key for key in keys if key not in self._looked_up]
        if missing:
            raise MissingKeys(missing)

    def put(self, key: Key, entity: Entity) -> Mutation:
        """Return the mutation that writes `entity`: an update of the version that was read, or an insert."""
        row = self._rows.get(key)
        return Insert(key, entity) if row is None else Update(key, entity, row.version)


@dataclass(frozen=True, slots=True)
class Changes(Generic[R]):
    """A decision: the result to return, and the writes and events to commit together."""

    result: R
    """Returned to the caller of `transact`, after the commit."""
    writes: Mapping[Key, Entity] = field(default_factory=dict)
    """Whole entities: one that is written replaces the stored one.

    Written as it was read, an entity only has to be unchanged (see write skew in `Store.transact`)."""
    events: Sequence[Event] = ()
    """Published after the commit, at least once, to the service's topic: it must have one."""
    on_commit: Callable[[], None] | None = None
    """Called after the commit, for metrics and for what may be left out (`SideEffects.schedule`).

    It may be missed: a retry may find its commit applied before."""

    @property
    def unchanged(self) -> bool:
        """Whether there is nothing to commit."""
        return not self.writes and not self.events


Decide = Callable[[Snapshot], Changes[R]]
"""Returns what to commit, from what was read. Must be pure: it runs again after each conflict."""


@dataclass(slots=True)
class _Unanswered:
    """The commits of one transaction, over all its rounds, whose outcome is unknown."""

    limit: int
    """How many are followed by another attempt."""
    commits: int = 0

    @contextmanager
    def remembered(self) -> Iterator[None]:
        """Turn an error that means that nothing was committed into OutcomeUnknown, if there were any."""
        try:
            yield
        except (Contention, Unavailable) as error:
            if not self.commits or isinstance(error, OutcomeUnknown):
                raise
            raise OutcomeUnknown(f"a commit was not answered, and then: {error}") from error


class Store:
    """A service's own entities, committed together with the events that announce their changes."""

    def __init__(self, tables: Tables, outbox: Outbox, relay: Relay, runtime: Runtime) -> None:
        self._tables = tables
        self._outbox = outbox
        self._relay = relay
        self._runtime = runtime
        self._observer = runtime.observer
        self._locks = KeyedLocks()

    async def read(self, keys: Sequence[Key]) -> Snapshot:
        """Look up entities, in one call. Raises Unavailable if the database cannot be reached."""
        return Snapshot(await self._tables.lookup(keys), frozenset(keys))

    async def view(self, keys: Sequence[Key], compute: Callable[[Snapshot], R]) -> R:
        """Return `compute` of the entities, without a transaction; it may require more keys.

        Raises Unavailable if the database cannot be reached, and whatever `compute` raises.
        """
        for _ in range(MAX_KEY_ROUNDS):
            try:
                return compute(await self.read(keys))
            except MissingKeys as missing:
                keys = (*keys, *missing.keys)
        raise Contention("a view kept requiring more keys")

    async def transact(
        self,
        keys: Sequence[Key],
        decide: Decide[R],
        *,
        read_only: Sequence[Key] = (),
        retry_unknown: bool = True,
    ) -> Changes[R]:
        """Look up `keys` and `read_only`, and commit what `decide` returns, atomically and at most once.

        Returns what was committed. `decide` is pure, and runs again on fresh reads after a conflict.
        An entity that was looked up is written only if it has not changed since; one that was not
        is inserted. If `decide` changes nothing, nothing is committed.

        Write skew is possible: an entity that was read and not written may have changed by the time
        of the commit. Two transactions that each read both of two accounts, and withdraw from one
        because their sum suffices, both succeed. If a decision depends on an entity that it does not
        change, write that one as it was read (`writes={key: found.get(key), …}`), which costs a write:
        then the transaction conflicts if it has changed.

        Transactions of one process that share one of `keys` run one after another, as they would
        otherwise conflict. `read_only` names keys that are looked up and not locked: for entities
        whose change by another transaction at the same moment does no harm.

        Raises Contention after too many conflicts, Unavailable if the database cannot be reached,
        NoTopicError if there are events and the service has no topic, and whatever `decide` raises;
        nothing is committed then. A commit without an answer is tried again if `retry_unknown`, which is
        correct only if `decide` finds out that it was applied: by an inbox row, or because applying it
        twice changes nothing. Else, after MAX_UNKNOWN_OUTCOMES, and instead of Contention and Unavailable
        from then on, it raises OutcomeUnknown. Any other error of a retry is about what `decide` read by
        then: the commit without an answer may have been applied all the same.
        """
        unanswered = _Unanswered(MAX_UNKNOWN_OUTCOMES if retry_unknown else 0)
        with self._observer.transaction() as report, unanswered.remembered():
            changes = await self._rounds(keys, decide, read_only, unanswered)
            report(not changes.unchanged)
            return changes

    async def _rounds(
        self, keys: Sequence[Key], decide: Decide[R], read_only: Sequence[Key], unanswered: _Unanswered
    ) -> Changes[R]:
        wanted = tuple(keys)
        for _ in range(MAX_KEY_ROUNDS):
            try:
                # All locks are released before a round that needs more: taken one by one while holding
                # others, two transactions could each wait for the other's.
                async with self._locks.hold(wanted):
                    return await self._attempts((*read_only, *wanted), decide, unanswered)
            except MissingKeys as missing:
                wanted = (*wanted, *missing.keys)
        raise Contention("a transaction kept requiring more keys")

    async def _attempts(self, keys: Sequence[Key], decide: Decide[R], unanswered: _Unanswered) -> Changes[R]:
        wanted = tuple(keys)
        for attempt, delay in enumerate(CONFLICT_BACKOFF.delays(self._runtime.random), 1):
            self._observer.attempt(attempt)
            changes, mutations = await self._decided(wanted, decide)
            if changes.unchanged:
                return changes
            try:
                await self._tables.commit(mutations)
            except OutcomeUnknown:
                unanswered.commits += 1
                if unanswered.commits > unanswered.limit:
                    raise
            except Contention:
                self._observer.conflict()
            else:
                # Only now: an event published before its commit would announce what may never happen.
                self._relay.enqueue(changes.events)
                self._observer.committed(changes.writes)
                if changes.on_commit is not None:
                    changes.on_commit()
                return changes
            # The database does not say which key collided. Whatever was inserted blind is looked up from
            # now on: a duplicate then finds its inbox row, and an unknown outcome finds its own commit.
            wanted = tuple(dict.fromkeys((*wanted, *changes.writes)))
            await self._runtime.sleep(delay)
        raise Contention("other writers kept committing first")

    async def _decided(self, keys: Sequence[Key], decide: Decide[R]) -> tuple[Changes[R], list[Mutation]]:
        found = await self.read(keys) if keys else Snapshot({}, ())
        changes = decide(found)
        if changes.unchanged:
            return changes, []
        if changes.events and not self._relay.topic:
            raise NoTopicError
        writes, events = self._observer.annotate(self._relay.topic, changes.writes, changes.events)
        mutations = [found.put(key, entity) for key, entity in writes.items()]
        return replace(changes, writes=writes, events=events), mutations + self._outbox.inserts(events)
