"""A payment provider to try things with: its own books, and the bad habits of real ones on demand.

Its books are kinds of their own, written in commits of their own: after a crash between the two they may
know of a charge that the payment service does not, as a real provider's would.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from sagakit.errors import Contention, Unavailable
from sagakit.runtime import Backoff, Runtime
from sagakit.tables import Entity, Insert, Key, Mutation, Row, Tables, Update
from services.payment.provider import Answer, Canceled, Charged, Declined

LEDGER = "SimulatedCharge"
FAULTS = Key("SimulatedProvider", "behaviour")
ANSWER_SECONDS = 10.0
"""How long anybody waits for it."""
CONFLICT_BACKOFF = Backoff(first_seconds=0.004, cap_seconds=0.25, attempts=10)


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """What it has been told to be like."""

    unavailable: bool = False
    delay_seconds: float = 0.0
    """It lets so much time pass before it charges; more than ANSWER_SECONDS: nobody waits for it."""
    drop_responses: bool = False
    """It charges, and the answer gets lost; asked again, it answers."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What its books say about an order."""

    charged: int = 0
    refunded: int = 0
    declined: str | None = None
    """Why it was not charged."""
    canceled: bool = False


async def save_faults(tables: Tables, faults: FaultSettings) -> None:
    """From now on it behaves like that, whoever runs it."""
    found = (await tables.lookup([FAULTS])).get(FAULTS)
    await tables.commit([_write(FAULTS, found, _stored(faults))])


async def load_faults(tables: Tables) -> FaultSettings:
    return _faults((await tables.lookup([FAULTS])).get(FAULTS))


def to_entry(entity: Entity) -> Entry:
    return Entry(**entity)


class SimulatedProvider:
    """Keeps the promises of PaymentProvider; declines what is above the limit."""

    def __init__(self, tables: Tables, runtime: Runtime, limit: int) -> None:
        """`limit`: the most it charges for an order, in minor units."""
        self._tables = tables
        self._runtime = runtime
        self._limit = limit

    async def charge(self, orderid: str, amount: int) -> Answer:
        faults, entry = await self._look(orderid)
        if entry is None:
            await self._take_time(faults)
            entry, entered = await self._enter(orderid, lambda found: found or self._decided(amount))
            if entered and faults.drop_responses:
                raise Unavailable("the payment provider's answer was lost")
        if entry.canceled:
            return Canceled()
        return Charged() if entry.declined is None else Declined(entry.declined)

    async def cancel(self, orderid: str) -> int:
        await self.check()
        entry, _ = await self._enter(orderid, _canceled)
        return entry.refunded

    async def check(self) -> None:
        _available(await load_faults(self._tables))

    def _decided(self, amount: int) -> Entry:
        if amount > self._limit:
            return Entry(declined=f"declined: {amount} is above the limit of {self._limit}")
        return Entry(charged=amount)

    async def _look(self, orderid: str) -> tuple[FaultSettings, Entry | None]:
        found = await self._tables.lookup([FAULTS, _key(orderid)])
        row = found.get(_key(orderid))
        faults = _available(_faults(found.get(FAULTS)))
        return faults, None if row is None else to_entry(row.entity)

    async def _take_time(self, faults: FaultSettings) -> None:
        await self._runtime.sleep(min(faults.delay_seconds, ANSWER_SECONDS))
        if faults.delay_seconds > ANSWER_SECONDS:
            raise Unavailable("the payment provider does not answer")

    async def _enter(self, orderid: str, change: Callable[[Entry | None], Entry]) -> tuple[Entry, bool]:
        """The entry after `change`, and whether that changed anything."""
        key = _key(orderid)
        for pause in CONFLICT_BACKOFF.delays(self._runtime.random):
            row = (await self._tables.lookup([key])).get(key)
            before = None if row is None else to_entry(row.entity)
            after = change(before)
            if after == before:
                return after, False
            try:
                await self._tables.commit([_write(key, row, asdict(after))])
            except Contention:
                await self._runtime.sleep(pause)
            else:
                return after, True
        raise Unavailable("the payment provider is too busy")


def _available(faults: FaultSettings) -> FaultSettings:
    if faults.unavailable:
        raise Unavailable("the payment provider is away")
    return faults


def _canceled(entry: Entry | None) -> Entry:
    if entry is None:
        return Entry(canceled=True)
    return entry if entry.canceled else replace(entry, refunded=entry.charged, canceled=True)


def _key(orderid: str) -> Key:
    return Key(LEDGER, orderid)


def _write(key: Key, row: Row | None, entity: Entity) -> Mutation:
    return Insert(key, entity) if row is None else Update(key, entity, row.version)


def _stored(faults: FaultSettings) -> Entity:
    return {
        "away": faults.unavailable,
        "delay_seconds": faults.delay_seconds,
        "loses_answers": faults.drop_responses,
    }


def _faults(row: Row | None) -> FaultSettings:
    if row is None:
        return FaultSettings()
    entity = row.entity
    return FaultSettings(entity["away"], entity["delay_seconds"], entity["loses_answers"])
