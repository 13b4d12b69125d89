"""The suite of five services: an order earns points, which the gateway and its events tell."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from contract.topology import TOPOLOGY
from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import Clients
from tests.support.eventually import eventually
from tests.support.suite import running_suite


async def test_approved_order_earns_points_once(tmp_path: Path):
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "data.sqlite3")}
    async with running_suite(environ) as suite, gateway(suite.services.targets) as client:
        ticket = await suite.order("c", blue=2)
        await suite.ticket_becomes(ticket.orderid, "approved")

        async def points() -> dict[str, int] | None:
            answer = await client.get(f"/v1/loyalty-points/{ticket.orderid}")
            return json.loads(answer.content) if answer.status_code == 200 else None

        assert await eventually(points) == {"points": 6}, "POINTS_PER_UNIT of the declaration is 3"
        assert (await client.get("/readyz?all=true")).status_code == 200
        assert (await client.get("/v1/loyalty-points/unknown")).json()["status"] == 404
        await suite.balances()


@asynccontextmanager
async def gateway(targets: Mapping[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """Context manager: a client of a gateway in this process."""
    assert targets.keys() == set(TOPOLOGY.names)
    async with Clients(targets, 5) as clients:
        transport = httpx.ASGITransport(create_app(clients, Lifecycle()))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client
