"""`sagactl top` in a picture, with orders going by."""

import asyncio
import io
import os
import re
from collections.abc import Callable
from pathlib import Path

import httpx
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME

from sagactl.dashboard.dashboard import Dashboard
from sagactl.dashboard.screen import screen
from sagactl.dashboard.state import State
from sagactl.inspect.connect import open_data_sources
from sagakit.runtime import Runtime
from tests.support.local_suite import LocalSuite

WATCH = "watch.svg"
WIDTH, HEIGHT = 82, 32
_FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
_CARTS = ("blue", "blue", "red", "blue", "yellow", "blue", "gold", "blue")
_PAUSE_SECONDS = 0.3
_WAIT_SECONDS = 60


def watch(suite: LocalSuite, file: Path) -> None:
    """Some orders of every kind, and one that waits, for payment is stopped."""
    state = asyncio.run(_seen(suite))
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(screen(state, WIDTH, HEIGHT))
    # Nothing from elsewhere: whoever shows it has a font of fixed width.
    file.write_text(_FONTS.sub("", console.export_svg(title="sagactl top", theme=SVG_EXPORT_THEME)))


async def _seen(suite: LocalSuite) -> State:
    async with open_data_sources(suite.run_dir, environ={}) as sources:
        watching = Dashboard(sources, Runtime())
        async with watching.run(), _client(suite) as client:
            await watching.looked.wait()
            for itemid in _CARTS:
                await _order(client, itemid)
                await asyncio.sleep(_PAUSE_SECONDS)
            await asyncio.to_thread(suite.sagactl, "stop", "payment")
            try:
                await _order(client, "blue")
                return await _once(watching, _waits)
            finally:
                await asyncio.to_thread(suite.sagactl, "start", "payment")


def _waits(state: State) -> bool:
    """The last order is found to wait, and only that: the others have ended."""
    waiting = state.backlog is not None and state.backlog.tickets["reserved"].count == 1
    stopped = any(each["state"] == "stopped" for each in state.programs or ())
    return waiting and stopped


async def _once(watching: Dashboard, holds: Callable[[State], bool]) -> State:
    async with asyncio.timeout(_WAIT_SECONDS):
        while True:
            state = watching.state()
            if holds(state):
                return state
            await asyncio.sleep(0.1)


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
