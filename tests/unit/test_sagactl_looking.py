"""The commands that look into a suite: where they look, what they print, how they end."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sagactl.__main__ import main
from sagactl.local.runfile import Suite, write_suite
from sagakit.backends.embedded.database import Database
from sagakit.backends.embedded.tables import EmbeddedTables
from sagakit.tables import Insert, Key, Mutation
from services.delivery.shipment import Shipment
from services.delivery.storage import delivery_key, shipment_entity
from services.payment.simulated import LEDGER, Entry
from services.purchase.storage import ticket_entity, ticket_key
from services.purchase.ticket import Report, opened, reported
from services.stock.inventory import SOLD, Reservation
from services.stock.storage import reservation_entity, reservation_key

NOTHING_NAMED = dict.fromkeys(
    ("BACKEND", "EMBEDDED_FILE", "GOOGLE_CLOUD_PROJECT", "DATASTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST")
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return stored(tmp_path / "data.sqlite3")


def stored(file: Path, mutations: Sequence[Mutation] = ()) -> Path:
    """The file of an embedded backend, with that in it too."""

    async def store() -> None:
        database = Database(file)
        await EmbeddedTables(database).commit(mutations)
        await database.close()

    asyncio.run(store())
    return file


def sagactl(*args: str, run_dir: Path, **environ: str) -> Result:
    told = {**NOTHING_NAMED, "RUN_DIR": str(run_dir), **environ}
    return CliRunner().invoke(main, args, env=told, prog_name="sagactl")


def looking_into(file: Path, *args: str) -> Result:
    return sagactl(*args, run_dir=file.parent / "none", BACKEND="embedded", EMBEDDED_FILE=str(file))


def waiting(orderid: str, opened_at: float) -> Mutation:
    return Insert(ticket_key(orderid), ticket_entity(opened(orderid, "cart", (), opened_at), opened_at + 15))


def delivered(orderid: str) -> list[Mutation]:
    """All that is kept of an order for 300 that went well."""
    ticket = opened(orderid, "cart", (), 1.0)
    for status, amount in (("reserved", 300), ("paid", None), ("delivery-arranged", None)):
        ticket, _ = reported(ticket, Report("e", status, 2.0, amount))
    return [
        Insert(ticket_key(orderid), ticket_entity(ticket, None)),
        Insert(reservation_key(orderid), reservation_entity(Reservation(orderid, SOLD, (), 1.0), None)),
        Insert(delivery_key(orderid), shipment_entity(Shipment(orderid, (), 3.0))),
        Insert(Key(LEDGER, orderid), asdict(Entry(charged=300))),
    ]


def test_an_order_is_shown(file: Path):
    stored(file, delivered("o"))

    shown = looking_into(file, "order", "o")

    assert shown.exit_code == 0
    assert shown.stdout.startswith("order o: approved\n")
    assert shown.stdout.endswith("still open: nothing\n")


def test_an_order_that_is_not_there_is_said_so(file: Path):
    shown = looking_into(file, "order", "o")

    assert (shown.exit_code, shown.stdout, shown.stderr) == (1, "", "Error: order o does not exist\n")


def test_what_waits_is_listed_the_oldest_first(file: Path):
    stored(file, [waiting("younger", 2_000.0), waiting("older", 1_000.0), *delivered("o")])

    listed = looking_into(file, "pending")

    assert listed.exit_code == 0
    assert [line.split()[:2] for line in listed.stdout.splitlines()] == [
        ["older", "pre-approved"],
        ["younger", "pre-approved"],
    ]


def test_where_nothing_has_waited_for_so_long_nothing_is_listed(file: Path):
    stored(file, [waiting("old", 1_000.0)])

    listed = looking_into(file, "pending", "--older-than", "1e11")

    assert (listed.exit_code, listed.stdout) == (0, "no pending orders\n")


def test_an_audit_of_books_that_agree_ends_well(file: Path):
    stored(file, delivered("o"))

    audited = looking_into(file, "audit")

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


def test_an_audit_of_books_that_do_not_agree_names_the_order_and_fails(file: Path):
    stored(file, [each for each in delivered("o") if each.key.kind != LEDGER])

    audited = looking_into(file, "audit", "--wait", "0.1")

    assert audited.exit_code == 1
    assert audited.stdout.splitlines()[-2:] == [
        "order o: it is approved for 300, but 0 was charged",
        "0 was charged for approved orders of 300",
    ]


def test_the_provider_is_told_what_is_given_and_keeps_the_rest(file: Path):
    before = looking_into(file, "provider")
    looking_into(file, "provider", "--unavailable", "--delay", "2.5")

    after = looking_into(file, "provider", "--available", "--drop-responses")

    assert before.stdout == "unavailable: False\ndelay seconds: 0.0\ndrop responses: False\n"
    assert after.stdout == "unavailable: False\ndelay seconds: 2.5\ndrop responses: True\n"
    assert looking_into(file, "provider").stdout == after.stdout


def local_suite(run_dir: Path, file: Path) -> Path:
    """A suite runs there, over that file."""
    run_dir.mkdir()
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(file)}
    write_suite(run_dir, Suite(os.getpid(), "embedded", "http://gateway", {}, environ, "/nowhere"))
    return run_dir


def test_where_no_backend_is_named_it_is_that_of_the_local_suite(tmp_path: Path, file: Path):
    stored(file, delivered("o"))

    shown = sagactl("order", "o", run_dir=local_suite(tmp_path / "run", file))

    assert shown.stdout.startswith("order o: approved\n")


def test_a_backend_that_is_named_comes_before_the_local_suite(tmp_path: Path, file: Path):
    stored(file, delivered("o"))
    run_dir = local_suite(tmp_path / "run", stored(tmp_path / "other.sqlite3"))

    shown = sagactl("order", "o", run_dir=run_dir, BACKEND="embedded", EMBEDDED_FILE=str(file))

    assert shown.stdout.startswith("order o: approved\n")


COMMANDS = [["order", "o"], ["pending"], ["audit"], ["provider"], ["dlq", "list"]]


@pytest.mark.parametrize("command", COMMANDS)
def test_where_there_is_no_backend_it_is_said_so(tmp_path: Path, command: list[str]):
    ended = sagactl(*command, run_dir=tmp_path)

    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr == f"Error: no suite runs in {tmp_path}, and GOOGLE_CLOUD_PROJECT is not set\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_is_not_there_is_not_taken_for_books_that_agree(tmp_path: Path, command: list[str]):
    ended = looking_into(tmp_path / "typo.sqlite3", *command)

    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr == f"Error: no embedded backend in {tmp_path / 'typo.sqlite3'}\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [["order", "o"], ["pending"], ["audit"], ["provider", "--unavailable"]])
def test_a_backend_that_is_away_is_said_so(tmp_path: Path, command: list[str]):
    emulators = dict.fromkeys(("DATASTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST"), "127.0.0.1:1")

    ended = sagactl(*command, run_dir=tmp_path, GOOGLE_CLOUD_PROJECT="project", **emulators)

    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Error: the backend does not respond: ")
