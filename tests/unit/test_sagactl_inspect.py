"""The commands that inspect a suite: which backend they read, their output and exit status."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from contract.topology import TOPOLOGY
from sagactl.__main__ import main
from sagakit.backends.embedded.database import Database
from sagakit.backends.embedded.tables import EmbeddedTables
from sagakit.outbox import outbox_kind
from sagakit.tables import Insert, Key, Mutation, Row
from sagakit.testing.tables import MemoryTables
from services.delivery.shipment import Shipment
from services.delivery.storage import delivery_key, shipment_entity
from services.payment.charge import SETTLED, Charge
from services.payment.simulated import LEDGER, Entry
from services.payment.storage import charge_entity, payment_key
from services.purchase.storage import ticket_entity, ticket_key
from services.purchase.ticket import Report, opened, reported
from services.stock.inventory import SOLD, Reservation
from services.stock.storage import reservation_entity, reservation_key
from tests.support.audit import record_problems

NO_BACKEND = dict.fromkeys(
    ("BACKEND", "EMBEDDED_FILE", "GOOGLE_CLOUD_PROJECT", "DATASTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST")
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_to(tmp_path / "data.sqlite3")


def write_to(file: Path, mutations: Sequence[Mutation] = ()) -> Path:
    """Write to the file of an embedded backend, and return it."""

    async def store() -> None:
        database = Database(file)
        await EmbeddedTables(database).commit(mutations)
        await database.close()

    asyncio.run(store())
    return file


def sagactl(*args: str, run_dir: Path, **environ: str) -> Result:
    variables = {**NO_BACKEND, "RUN_DIR": str(run_dir), **environ}
    return CliRunner().invoke(main, args, env=variables, prog_name="sagactl")


def inspect(file: Path, *args: str) -> Result:
    return sagactl(*args, run_dir=file.parent / "none", BACKEND="embedded", EMBEDDED_FILE=str(file))


def open_order(orderid: str, opened_at: float) -> Mutation:
    return Insert(ticket_key(orderid), ticket_entity(opened(orderid, "cart", (), opened_at), opened_at + 15))


def delivered(orderid: str) -> list[Mutation]:
    """Return all records of a delivered order for 300."""
    ticket = opened(orderid, "cart", (), 1.0)
    for status, amount in (("reserved", 300), ("paid", None), ("delivery-arranged", None)):
        ticket, _ = reported(ticket, Report("e", status, 2.0, amount))
    reservation = Reservation(orderid, SOLD, (), amount=300, time=1.0)
    return [
        Insert(ticket_key(orderid), ticket_entity(ticket, None)),
        Insert(reservation_key(orderid), reservation_entity(reservation, None)),
        Insert(delivery_key(orderid), shipment_entity(Shipment(orderid, (), 3.0))),
        Insert(payment_key(orderid), charge_entity(Charge(orderid, SETTLED, 2.0, amount=300), None)),
        Insert(Key(LEDGER, orderid), asdict(Entry(charged=300))),
    ]


def test_order_is_shown(file: Path):
    write_to(file, delivered("o"))

    shown = inspect(file, "order", "o")

    assert shown.exit_code == 0
    assert shown.stdout.startswith("order o: approved\n")
    assert shown.stdout.endswith("still open: nothing\n")


def test_pending_orders_are_listed_oldest_first(file: Path):
    write_to(file, [open_order("younger", 2_000.0), open_order("older", 1_000.0), *delivered("o")])

    listed = inspect(file, "pending")

    assert listed.exit_code == 0
    assert [line.split()[:2] for line in listed.stdout.splitlines()] == [
        ["older", "pre-approved"],
        ["younger", "pre-approved"],
    ]


def test_younger_orders_are_not_listed(file: Path):
    write_to(file, [open_order("old", 1_000.0)])

    listed = inspect(file, "pending", "--older-than", "1e11")

    assert (listed.exit_code, listed.stdout) == (0, "no pending orders\n")


def test_balanced_audit_succeeds(file: Path):
    write_to(file, delivered("o"))

    audited = inspect(file, "audit")

    assert (audited.exit_code, audited.stdout.splitlines()) == (
        0,
        [
            "orders: 1",
            "  approved: 1",
            "charged 300 - refunded 0 = 300; approved for payment: 300",
            "outboxes: 0 unpublished events",
            "everything balances",
        ],
    )


def test_unbalanced_audit_names_the_order_and_fails(file: Path):
    write_to(file, [each for each in delivered("o") if each.key.kind != LEDGER])

    audited = inspect(file, "audit", "--wait", "0.1")

    assert audited.exit_code == 1
    assert audited.stdout.splitlines()[-2:] == [
        "order o: it is approved for 300, but 0 was charged",
        "0 was charged for approved orders of 300",
    ]


def assert_fails(ended: Result, message: str) -> None:
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.splitlines(keepends=True)[-1].startswith(f"Error: {message}")


def test_unknown_order_is_an_error(file: Path):
    assert_fails(inspect(file, "order", "o"), "order o does not exist\n")


COMMANDS = [["order", "o"], ["pending"], ["audit"], ["faults", "list"], ["dlq", "list"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_backend_is_an_error(tmp_path: Path, command: list[str]):
    assert_fails(
        sagactl(*command, run_dir=tmp_path),
        f"no suite runs in {tmp_path}, and GOOGLE_CLOUD_PROJECT is not set\n",
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_missing_file_is_an_error_and_is_not_created(tmp_path: Path, command: list[str]):
    file = tmp_path / "typo.sqlite3"

    assert_fails(inspect(file, *command), f"no embedded backend in {file}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        ["order", "o"],
        ["pending"],
        ["audit"],
        ["faults", "set", "--provider-unavailable"],
        ["top", "--once"],
        ["top", "--json"],
    ],
)
def test_unavailable_backend_is_an_error(tmp_path: Path, command: list[str]):
    emulators = dict.fromkeys(("DATASTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"), "127.0.0.1:1")

    ended = sagactl(*command, run_dir=tmp_path, GOOGLE_CLOUD_PROJECT="project", **emulators)

    assert_fails(ended, "the backend does not respond: ")


class ReadTables(MemoryTables):
    """Counts how often each kind is read from its beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[str] = Counter()

    async def page(self, kind: str, after: str, limit: int) -> list[tuple[Key, Row]]:
        self.reads[kind] += not after
        return await super().page(kind, after, limit)


async def test_each_kind_is_read_once():
    tables = ReadTables()

    await record_problems(tables)

    assert {outbox_kind(service) for service in TOPOLOGY.topics} < tables.reads.keys()
    assert set(tables.reads.values()) == {1}
