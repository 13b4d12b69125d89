"""Every process is started before the backends: none ends, and orders are approved once they are there."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from contract.topology import TOPOLOGY
from sagakit.ctl.local.emulators import FIRESTORE, PUBSUB, running
from sagakit.ctl.local.ports import free_ports
from tests.support.brokers import process_of
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]
CALLS = ("create_cart", "add_item", "close_cart", "checkout")


async def answers(client: httpx.AsyncClient, path: str) -> bool:
    try:
        return (await client.get(path)).is_success
    except httpx.TransportError:
        return False


async def order(client: httpx.AsyncClient) -> str:
    for call in CALLS:
        item = {"itemid": "blue", "count": 3} if call == "add_item" else {}
        answer = await client.post(f"/purchase/api/{call}", json={"cartid": "c", **item})
        assert answer.status_code == 200, answer.text
    return str(answer.json()["order_ticket"]["orderid"])


@pytest.mark.emulators
@pytest.mark.timeout(240)
async def test_processes_that_start_before_their_backends_wait_for_them(tmp_path: Path, project: str):
    datastore, pubsub, gateway, *ports = free_ports(3 + len(TOPOLOGY.names))
    environ = {
        "BACKEND": "gcp",
        "GOOGLE_CLOUD_PROJECT": project,
        "DATASTORE_EMULATOR_HOST": f"127.0.0.1:{datastore}",
        "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{pubsub}",
    }
    addresses = dict(zip(TOPOLOGY.names, ports, strict=True))
    targets = TOPOLOGY.address_environ({name: f"127.0.0.1:{port}" for name, port in addresses.items()})
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        processes = [
            await enter(
                process_of(f"services.{name}", environ=environ | TOPOLOGY.environ(name) | {"PORT": str(port)})
            )
            for name, port in addresses.items()
        ]
        processes.append(
            await enter(process_of("services.gateway", environ={**environ, **targets, "PORT": str(gateway)}))
        )
        provision = await enter(process_of("sagactl", "provision", "--wait", "120", environ=environ))
        base_url = f"http://127.0.0.1:{gateway}"
        client = await enter(httpx.AsyncClient(base_url=base_url, trust_env=False, timeout=40))
        # The gateway serves, and services work as far as they can, without any backend.
        await eventually(lambda: answers(client, "/readyz?all=true"), 60)

        await enter(running(FIRESTORE, tmp_path / "firestore.log", datastore))
        await enter(running(PUBSUB, tmp_path / "pubsub.log", pubsub))
        assert await asyncio.wait_for(provision.wait(), 120) == 0
        async with process_of("sagactl", "seed", environ={**environ, **targets}) as seed:
            assert await asyncio.wait_for(seed.wait(), 60) == 0

        orderid = await order(client)
        answer = await client.get(f"/v1/orders/{orderid}", params={"wait": 30})

        assert answer.json()["status"] == "approved"
        assert [process.returncode for process in processes] == [None] * len(processes)
