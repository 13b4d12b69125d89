"""A simulated payment provider with its own ledger and configurable faults.

Its ledger is a kind of its own, written in separate commits: after a crash it may contain a charge that the
payment service has not stored, as a real provider's would.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sagakit.codec import Stored, from_entity, to_entity
from sagakit.errors import Contention, Unavailable
from sagakit.runtime import Backoff, Runtime
from sagakit.tables import Entity, Insert, Key, Mutation, Row, Tables, Update
from services.payment.provider import Canceled, ChargeAnswer, Charged, Declined

LEDGER = "SimulatedCharge"
FAULTS = Key("SimulatedProvider", "behaviour")
RESPONSE_TIMEOUT_SECONDS = 10.0
"""Timeout of its callers."""
CONFLICT_BACKOFF = Backoff(first_seconds=0.004, cap_seconds=0.25, attempts=10)


@dataclass(frozen=True, slots=True)
class FaultSettings(Stored):
    """Faults to simulate."""

    unavailable: bool = False
    delay_seconds: float = 0.0
    """Delay before it charges; beyond RESPONSE_TIMEOUT_SECONDS the call fails, and nothing is charged."""
    drop_responses: bool = False
    """Simulate a lost response: the first charge succeeds but times out; a retry returns the result."""


_STORED_NAMES = {"unavailable": "away", "drop_responses": "loses_answers"}


@dataclass(frozen=True, slots=True)
class Entry(Stored):
    """The ledger entry of an order."""

    charged: int = 0
    refunded: int = 0
    declined: str | None = None
    """Why it was declined."""
    canceled: bool = False


async def save_faults(tables: Tables, faults: FaultSettings) -> None:
    """Store the faults; they apply to every process that runs the provider."""
    found = (await tables.lookup([FAULTS])).get(FAULTS)
    await tables.commit([_write(FAULTS, found, to_entity(faults, rename=_STORED_NAMES))])


async def load_faults(tables: Tables) -> FaultSettings:
    return _faults((await tables.lookup([FAULTS])).get(FAULTS))


def to_entry(entity: Entity) -> Entry:
    return from_entity(Entry, entity)


class SimulatedProvider:
    """A PaymentProvider that declines amounts above a limit."""

    def __init__(self, tables: Tables, runtime: Runtime, limit: int) -> None:
        """`limit`: the highest amount it charges, in minor units."""
        self._tables = tables
        self._runtime = runtime
        self._limit = limit

    async def charge(self, orderid: str, amount: int) -> ChargeAnswer:
        faults, entry = await self._read(orderid)
        if entry is None:
            await self._delay(faults)
            entry, changed = await self._update(orderid, lambda found: found or self._decided(amount))
            if changed and faults.drop_responses:
                raise Unavailable("the payment provider's response was lost")
        if entry.canceled:
            return Canceled()
        return Charged() if entry.declined is None else Declined(entry.declined)

    async def cancel(self, orderid: str) -> int:
        await self.check()
        entry, _ = await self._update(orderid, _canceled)
        return entry.refunded

    async def check(self) -> None:
        _available(await load_faults(self._tables))

    def _decided(self, amount: int) -> Entry:
        if amount > self._limit:
            return Entry(declined=f"declined: {amount} is above the limit of {self._limit}")
        return Entry(charged=amount)

    async def _read(self, orderid: str) -> tuple[FaultSettings, Entry | None]:
        found = await self._tables.lookup([FAULTS, _key(orderid)])
        row = found.get(_key(orderid))
        faults = _available(_faults(found.get(FAULTS)))
        return faults, None if row is None else to_entry(row.entity)

    async def _delay(self, faults: FaultSettings) -> None:
        await self._runtime.sleep(min(faults.delay_seconds, RESPONSE_TIMEOUT_SECONDS))
        if faults.delay_seconds > RESPONSE_TIMEOUT_SECONDS:
            raise Unavailable("the payment provider timed out")

    async def _update(self, orderid: str, change: Callable[[Entry | None], Entry]) -> tuple[Entry, bool]:
        """Apply `change` to the entry; return it, and whether it is different now."""
        key = _key(orderid)
        for pause in CONFLICT_BACKOFF.delays(self._runtime.random):
            row = (await self._tables.lookup([key])).get(key)
            before = None if row is None else to_entry(row.entity)
            after = change(before)
            if after == before:
                return after, False
            try:
                await self._tables.commit([_write(key, row, to_entity(after))])
            except Contention:
                await self._runtime.sleep(pause)
            else:
                return after, True
        raise Unavailable("the payment provider is too busy")


def _available(faults: FaultSettings) -> FaultSettings:
    if faults.unavailable:
        raise Unavailable("the payment provider is unavailable")
    return faults


def _canceled(entry: Entry | None) -> Entry:
    if entry is None:
        return Entry(canceled=True)
    return entry if entry.canceled else replace(entry, refunded=entry.charged, canceled=True)


def _key(orderid: str) -> Key:
    return Key(LEDGER, orderid)


def _write(key: Key, row: Row | None, entity: Entity) -> Mutation:
    return Insert(key, entity) if row is None else Update(key, entity, row.version)


def _faults(row: Row | None) -> FaultSettings:
    return from_entity(FaultSettings, row.entity if row else {}, rename=_STORED_NAMES)
