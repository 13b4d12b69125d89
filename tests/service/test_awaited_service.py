"""A fifth service that lost a message receives it again, because purchase's declaration awaits it."""

from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from rpc.purchase_pb2_grpc import PurchaseStub
from sagakit.backends import open_provisioner
from sagakit.bus import subscription_name
from sagakit.ctl.cli.provision import ensure_provisioned
from sagakit.ctl.local.ports import free_ports
from services.purchase.storage import TICKET, to_ticket
from tests.support.brokers import process_of
from tests.support.eventually import eventually
from tests.support.loyalty import AWAITED, GRANT, GRANTED
from tests.support.suite import Suite, running_suite, service_environ


@pytest.mark.timeout(120)
async def test_awaited_service_that_lost_a_message_receives_it_again(tmp_path: Path):
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "data.sqlite3")}
    (port,) = free_ports(1)
    purchase = {**service_environ("purchase", environ), **AWAITED.environ("purchase"), "PORT": str(port)}
    loyalty = {**service_environ("stock", environ), **AWAITED.environ("test-loyalty")}
    await ensure_provisioned(AWAITED, environ)
    async with (
        running_suite(environ, without=["purchase"]) as others,
        process_of("tests.support.loyalty", "purchase", environ=purchase),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        await channel.channel_ready()
        suite = replace(others, purchase=PurchaseStub(channel))
        orderid = (await suite.order("c", blue=1)).orderid
        await suite.ticket_becomes(orderid, "approved")
        await eventually(lambda: awaits(suite, "test-loyalty"), 20)

        await lose_messages(environ, subscription_name("test-loyalty", AWAITED.topics["purchase"]))
        async with process_of("tests.support.loyalty", "test-loyalty", environ=loyalty):
            await eventually(lambda: awaits(suite, None), 30)

        assert (await suite.history(orderid))[-2:] == ["delivery-arranged", GRANTED]
        assert [key.name for key, _ in await suite.backend.tables.page(GRANT, "", 10)] == [orderid]
        await suite.balances()


async def awaits(suite: Suite, service: str | None) -> bool:
    """Whether the one ticket awaits the answer of that service."""
    ((key, row),) = await suite.backend.tables.page(TICKET, "", 10)
    return to_ticket(key.name, row.entity).awaits_reply_of == service


async def lose_messages(environ: dict[str, str], subscription: str) -> None:
    async with open_provisioner(environ) as provisioner:
        await provisioner.remove_subscription(subscription)
    await ensure_provisioned(AWAITED, environ)
