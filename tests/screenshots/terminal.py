"""A screenshot of `sagactl top`: orders with different outcomes, and one that waits for payment."""

import asyncio
import io
import os
import re
from pathlib import Path

import httpx
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME

from sagactl.dashboard.dashboard import Dashboard, State
from sagactl.dashboard.screen import screen
from sagactl.dashboard.sources import open_data_sources
from sagakit.runtime import Runtime
from tests.support.eventually import eventually
from tests.support.local_suite import LocalSuite

DASHBOARD = "sagactl-top.svg"
WIDTH, HEIGHT = 82, 32
_FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
_CARTS = ("blue", "blue", "red", "blue", "yellow", "blue", "gold", "blue")
_PAUSE_SECONDS = 0.3
_WAIT_SECONDS = 60


def save_dashboard(suite: LocalSuite, file: Path) -> None:
    """Write the dashboard of a suite whose payment service is stopped, as SVG."""
    state = asyncio.run(_state_with_waiting_order(suite))
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(screen(state, WIDTH, HEIGHT))
    # No fonts from other origins; the viewer has one of fixed width.
    file.write_text(_FONTS.sub("", console.export_svg(title="sagactl top", theme=SVG_EXPORT_THEME)))


async def _state_with_waiting_order(suite: LocalSuite) -> State:
    async with open_data_sources(suite.run_dir, environ={}) as sources:
        dashboard = Dashboard(sources, Runtime())
        async with dashboard.run(), _client(suite) as client:
            await dashboard.loaded.wait()
            for itemid in _CARTS:
                await _order(client, itemid)
                await asyncio.sleep(_PAUSE_SECONDS)
            await asyncio.to_thread(suite.sagactl, "stop", "payment")
            try:
                await _order(client, "blue")
                await eventually(lambda: _is_waiting(dashboard.state()), _WAIT_SECONDS)
                return dashboard.state()
            finally:
                await asyncio.to_thread(suite.sagactl, "start", "payment")


def _is_waiting(state: State) -> bool:
    """Whether payment is stopped and only the last order waits for it."""
    waiting = state.backlog is not None and state.backlog.tickets["reserved"].count == 1
    return waiting and any(each["state"] == "stopped" for each in state.programs or ())


def _client(suite: LocalSuite) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=suite.facts["gateway"], trust_env=False, timeout=_WAIT_SECONDS)


async def _order(client: httpx.AsyncClient, itemid: str) -> None:
    cart = {"cartid": f"{itemid}-{os.urandom(4).hex()}"}
    for method, body in (
        ("create_cart", cart),
        ("add_item", {**cart, "itemid": itemid, "count": 1}),
        ("close_cart", cart),
        ("checkout", cart),
    ):
        (await client.post(f"/purchase/api/{method}", json=body)).raise_for_status()
