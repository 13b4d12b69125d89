"""The scenarios of the demo: one for each final status, over all items of the catalogue."""

import asyncio

import pytest

from sagaclient import RetryPolicy, SagaClient, TransportError
from sagactl.cli.curl_examples import curl_examples
from sagactl.cli.demo import SCENARIOS
from sagactl.cli.stock import CATALOGUE


def test_scenarios_use_every_item_and_reach_every_final_status_but_canceled():
    assert [(scenario.items, scenario.final_status) for scenario in SCENARIOS] == [
        ({"blue": 3}, "approved"),
        ({"blue": 3, "red": 2}, "approved"),
        ({"yellow": 1}, "reserve-failed"),
        ({"gold": 1}, "payment-failed"),
    ]
    assert {"blue", "red", "yellow", "gold"} == {item.itemid for item in CATALOGUE}


def test_curl_examples_order_blue_and_red():
    lines = curl_examples("http://127.0.0.1:8080", "c")

    blue, red = (line for line in lines if "/add_item" in line)
    assert '"itemid":"blue","count":3' in blue
    assert '"itemid":"red","count":2' in red
    assert "/purchase/api/get_order_ticket" in lines[-1]


def test_curl_examples_bypass_a_proxy_that_the_shell_names(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")

    lines = curl_examples("http://127.0.0.1:8080", "c")

    assert all("curl -sS --noproxy '*'" in line for line in lines if "curl" in line)


async def test_client_reaches_a_local_gateway_directly(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    connected = asyncio.Event()

    async def answer(reader, writer):
        connected.set()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        gateway = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with SagaClient(gateway, retries=RetryPolicy(max_attempts=1)) as client:
            with pytest.raises(TransportError):
                await client.create_cart("c")

    assert connected.is_set()
