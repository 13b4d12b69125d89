"""Text from outside cannot forge a line of any command's output, nor control the terminal."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner, Result

from contract.tickets import ORDER_TICKET, CartItem
from contract.topology import TOPOLOGY
from rpc import stock_pb2, stock_pb2_grpc
from sagactl.__main__ import main
from sagactl.project import PROJECT
from sagakit.backends.embedded.bus import EmbeddedBus
from sagakit.backends.embedded.database import Database
from sagakit.backends.embedded.tables import EmbeddedTables
from sagakit.bus import Message
from sagakit.ctl import text
from sagakit.ctl.cli.migrate import migrate
from sagakit.ctl.errors import CommandError
from sagakit.ctl.main import COMMANDS
from sagakit.migrations import Migration
from sagakit.runtime import Runtime
from sagakit.tables import Entity, Insert, Key
from services.delivery.shipment import Shipment
from services.delivery.storage import delivery_key, shipment_entity
from services.payment.charge import Charge
from services.payment.simulated import FAULTS, LEDGER, Entry
from services.payment.storage import charge_entity, payment_key
from services.purchase.storage import ticket_entity, ticket_key
from services.purchase.ticket import HistoryEntry, opened
from services.stock.inventory import Allocation, Item, Reservation, Shard
from services.stock.storage import (
    item_entity,
    item_key,
    reservation_entity,
    reservation_key,
    shard_entities,
)

FORGED = "FORGED everything balances"
HOSTILE = f"a\x1b[2J\x1b]0;title\x07\x9b31m\x85\u202eb[red]c[/red]\t\r\n{FORGED}\r\u2028{FORGED}\n{FORGED}"
ROOT = Path(__file__).parents[2]
OWN_TEXT_ONLY = {"up", "ps", "stop", "start", "restart", "provision", "token", "clean", "new"}
"""Commands that print names of this suite and errors; what `up` prints of a log is tested with the logs."""
NO_BACKEND = dict.fromkeys(
    ("BACKEND", "EMBEDDED_FILE", "GOOGLE_CLOUD_PROJECT", "DATASTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST")
)


def entities() -> dict[Key, dict]:
    """Return records in which every text is hostile, of orders that are open, final and corrupt."""
    items = (CartItem(HOSTILE, 3),)
    ticket = opened(HOSTILE, HOSTILE, items, 1.0, HOSTILE, HOSTILE)
    entry = HistoryEntry(HOSTILE, 2.0, HOSTILE, HOSTILE, HOSTILE)
    odd = replace(ticket, status=HOSTILE, reason=HOSTILE, history=(*ticket.history, entry))
    approved = replace(ticket, orderid=f"{HOSTILE}2", status="approved")
    charge = Charge(HOSTILE, HOSTILE, 1.0, items, 3, reason=HOSTILE)
    reservation = Reservation(
        HOSTILE, HOSTILE, items, (Allocation(HOSTILE, 0, 3),), 3, reason=HOSTILE, time=1.0
    )
    return {
        ticket_key(HOSTILE): ticket_entity(odd, 20.0),
        ticket_key(approved.orderid): ticket_entity(approved, 20.0),
        ticket_key(f"{HOSTILE}3"): {HOSTILE: HOSTILE, "due": "00:000000000000001"},
        reservation_key(HOSTILE): reservation_entity(reservation, None),
        reservation_key(approved.orderid): reservation_entity(replace(reservation, status="sold"), None),
        payment_key(HOSTILE): charge_entity(charge, None),
        delivery_key(HOSTILE): shipment_entity(Shipment(HOSTILE, items, 1.0)),
        delivery_key(approved.orderid): shipment_entity(Shipment(HOSTILE, (*items, *items), 1.0)),
        Key(LEDGER, HOSTILE): asdict(Entry(charged=3)),
        item_key(HOSTILE): item_entity(Item(HOSTILE, 1, 5)),
        **shard_entities(HOSTILE, {0: Shard(1, sold=-1)}),
        Key("StockPublishEvent", HOSTILE): {"attributes": {"time": HOSTILE}},
    }


def dead_letters() -> list[Message]:
    attributes = {"eventid": HOSTILE, "type": HOSTILE, HOSTILE: HOSTILE, "dead_letter_reason": HOSTILE}
    known = {"eventid": "e", "type": ORDER_TICKET}
    purchase = f"purchase-service.{TOPOLOGY.topics['payment']}"
    ticket = {"orderid": HOSTILE, "status": HOSTILE, "cart_items": []}
    return [
        Message(b"[" * 100_000, attributes | {"dead_letter_subscription": HOSTILE}),
        Message(b'{"orderid": ' + b"9" * 10_000 + b"}", known | {"dead_letter_subscription": purchase}),
        Message(HOSTILE.encode() + b"\xff\xc2\x9b", known | {"dead_letter_subscription": purchase}),
        Message(json.dumps(ticket).encode(), known | {"dead_letter_subscription": purchase}),
        Message(json.dumps(ticket, ensure_ascii=False).encode(), attributes),
        Message(
            json.dumps({**ticket, "orderid": "o"}).encode(), known | {"dead_letter_subscription": purchase}
        ),
        Message(b'{"orderid": "\\ud800", "orderid": "o", "status": "\\ud800"}', known),
        Message(b'{"orderid": NaN, "status": [[]]}', known | {"redriven": "9" * 5_000}),
    ]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    async def write() -> None:
        database = Database(tmp_path / "data.sqlite3")
        bus = EmbeddedBus(database, Runtime())
        await EmbeddedTables(database).commit([Insert(key, entity) for key, entity in entities().items()])
        for topic in TOPOLOGY.all_topics():
            await bus.ensure_topic(topic)
        await bus.ensure_subscription(TOPOLOGY.subscription_specs()[-1])  # the dead letters'
        await bus.publish(TOPOLOGY.dead_letter_topic, dead_letters())
        await bus.close()
        await database.close()

    asyncio.run(write())
    return tmp_path / "data.sqlite3"


def sagactl(*args: str, file: Path) -> Result:
    environ = {**NO_BACKEND, "BACKEND": "embedded", "EMBEDDED_FILE": str(file), "RUN_DIR": str(file.parent)}
    return CliRunner().invoke(main, args, env=environ, prog_name="sagactl")


def assert_safe(output: str) -> None:
    lines = output.split("\n")
    assert [line for line in lines if not line.isprintable()] == []
    assert [line for line in lines if line.lstrip().startswith("FORGED")] == []


INSPECT: Sequence[Sequence[str]] = (
    ("order", HOSTILE),
    ("order", f"{HOSTILE}2"),
    ("order", f"{HOSTILE}3"),
    ("pending",),
    ("audit",),
    ("reconcile", "--older-than", "0"),
    ("reconcile", "--older-than", "0", "--execute", "--cancel-lost", "--rate", "1000"),
    ("backfill", "delivery"),
    ("backfill", "delivery", "--execute", "--rate", "1000"),
    ("dlq", "list"),
    ("dlq", "show"),
    ("dlq", "redrive"),
    ("dlq", "redrive", "--execute"),
    ("dlq", "redrive", "--execute", "--unverified"),
    ("dlq", "drop"),
    ("dlq", "drop", "--execute"),
    ("top", "--once", "--sample-seconds", "0"),
    ("top", "--json", "--sample-seconds", "0"),
    ("faults", "list"),
)


@pytest.mark.parametrize("args", INSPECT, ids=lambda args: " ".join(args).replace(HOSTILE, "HOSTILE"))
def test_command_prints_hostile_text_escaped(file: Path, args: Sequence[str]):
    result = sagactl(*args, file=file)

    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert_safe(result.output)
    if args[0] in {"order", "pending", "audit", "reconcile", "dlq"}:
        assert "\\x1b[2J" in result.output
        assert "[red]c[/red]" in result.output


@pytest.mark.parametrize("args", [["--dry-run"], []])
def test_migrated_entities_are_printed_escaped(file: Path, args: list[str]):
    def convert(key: Key, entity: Entity) -> Mapping[Key, Entity]:
        if args:
            return {} if HOSTILE in entity else {key: {**entity, HOSTILE: HOSTILE}}
        raise ValueError(HOSTILE)

    environ = {**NO_BACKEND, "BACKEND": "embedded", "EMBEDDED_FILE": str(file), "RUN_DIR": str(file.parent)}
    project = replace(PROJECT, migrations={"name": Migration("OrderTicket", convert)})
    result = CliRunner().invoke(migrate, ["name", *args], obj=project, env=environ)

    assert "\\x1b[2J" in result.output
    assert_safe(result.output)


def test_logs_are_printed_escaped(tmp_path: Path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "stock.log").write_text(HOSTILE.replace(FORGED, "a line of a log is no forgery"))

    command = [sys.executable, "-m", "sagactl", "logs", "stock", "--run-dir", str(tmp_path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)

    assert "\\x1b[2J" in shown.stdout
    assert_safe(shown.stdout)


def test_no_dead_letter_hides_another(file: Path):
    listed, shown = (sagactl("dlq", each, file=file) for each in ("list", "show"))
    redriven, dropped = (sagactl("dlq", each, "--execute", file=file) for each in ("redrive", "drop"))

    count = len(dead_letters())
    assert listed.stdout.count("\n") == count
    assert shown.stdout.count("unverified: ") == count
    assert dropped.stdout.endswith(f"{count} dropped\n")
    assert (redriven.exit_code, dropped.exit_code) == (1, 0), "all are unverified, so none is redriven"


@pytest.mark.parametrize("command", [["list"], ["show"], ["redrive"], ["drop", "--execute"]])
def test_selection_of_no_dead_letter_prints_how_many_there_are(file: Path, command: list[str]):
    """A mistyped name is not taken for an empty queue."""
    result = sagactl("dlq", *command, "--subscription", "stok-service.purchase", file=file)

    assert result.stderr.endswith(f"\nnot selected: {len(dead_letters())}\n")
    assert "no dead letters" not in result.stdout
    assert result.exit_code == (1 if "--execute" in command else 0)


def test_corrupt_faults_of_the_provider_are_an_error(file: Path):
    async def write() -> None:
        database = Database(file)
        await EmbeddedTables(database).commit([Insert(FAULTS, {"away": HOSTILE})])
        await database.close()

    asyncio.run(write())

    result = sagactl("faults", "list", file=file)

    assert result.exit_code == 1
    assert result.stderr.endswith("Error: corrupt-entity: FaultSettings.unavailable: its type is str\n")


@pytest.mark.parametrize("args", [["stock", "set", "blue"], ["seed"], ["stock", "set", "missing"]])
def test_responses_of_a_service_are_printed_escaped(tmp_path: Path, args: list[str]):
    class Stock(stock_pb2_grpc.StockServicer):
        async def GetItem(self, request, context):  # noqa: N802  # gRPC's name
            if request.itemid == "missing":
                await context.abort(grpc.StatusCode.INTERNAL, HOSTILE)
            return stock_pb2.GetItemResponse(item=stock_pb2.Item(itemid=HOSTILE))

        async def PutItem(self, request, context):  # noqa: N802  # gRPC's name
            return stock_pb2.PutItemResponse(item=stock_pb2.Item(itemid=HOSTILE))

    async def call() -> Result:
        server = grpc.aio.server()
        stock_pb2_grpc.add_StockServicer_to_server(Stock(), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        environ = {**NO_BACKEND, "RUN_DIR": str(tmp_path)}
        line = [*args, "--stock-address", f"127.0.0.1:{port}"]
        try:
            return await asyncio.to_thread(CliRunner().invoke, main, line, env=environ)
        finally:
            await server.stop(None)

    result = asyncio.run(call())

    assert "\\x1b[2J" in result.output
    assert_safe(result.output)


@pytest.mark.parametrize(("command", "no_json"), [("demo", f"\n{HOSTILE}"), ("load", "")])
def test_responses_of_a_gateway_are_printed_escaped(tmp_path: Path, command: str, no_json: str):
    class Hostile(BaseHTTPRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            body = json.dumps({"reason": HOSTILE, "detail": HOSTILE}, ensure_ascii=False)
            body = f"{body}{no_json}".encode()
            self.wfile.write(b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    with HTTPServer(("127.0.0.1", 0), Hostile) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        environ = {**NO_BACKEND, "RUN_DIR": str(tmp_path)}
        gateway = f"http://127.0.0.1:{server.server_port}"
        result = CliRunner().invoke(main, [command, "--gateway", gateway], env=environ)
        server.shutdown()
        serving.join()

    assert "\\x1b[2J" in result.output
    assert_safe(result.output)


def test_every_command_is_tested_or_prints_only_texts_of_its_own():
    tested = {args[0] for args in INSPECT} | {"stock", "seed", "demo", "load", "logs", "migrate"}

    assert tested | OWN_TEXT_ONLY == COMMANDS.keys() | PROJECT.commands.keys()


def test_error_shows_its_log_below_one_line(capsys: pytest.CaptureFixture[str]):
    CommandError(HOSTILE, "  a line\n  another").show()

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert_safe("\n".join(lines))


@pytest.mark.parametrize("err", [False, True])
def test_line_is_one_line(err: bool, capsys: pytest.CaptureFixture[str]):
    text.echo(HOSTILE, err=err)

    output = "".join(capsys.readouterr())
    assert output.count("\n") == 1
    assert_safe(output)
