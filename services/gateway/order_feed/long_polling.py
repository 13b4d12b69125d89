"""Long polling: hold a reply about an order back until the order's status is terminal."""

import asyncio
from contextlib import suppress

from starlette.requests import Request

from contract.tickets import TERMINAL
from rpc.purchase_pb2 import GetOrderTicketRequest
from sagakit import deadline
from services.gateway import auth
from services.gateway.clients import Clients
from services.gateway.middleware import RELEASE_SLOT
from services.gateway.order_feed.feed import FollowerSlots, OrderFeeds


class LongPolling:
    """Waits for orders on behalf of requests."""

    def __init__(self, clients: Clients, feeds: OrderFeeds | None, slots: FollowerSlots) -> None:
        """Without `feeds` no events are received, and waiting returns at once."""
        self._clients = clients
        self._feeds = feeds
        self._slots = slots

    async def until_terminal(self, request: Request, orderid: str, seconds: float) -> None:
        """Return once the order's status is terminal, or after `seconds`.

        Raises Problem (503) if too many are waiting, AioRpcError if the order does not exist.
        """
        if self._feeds is None or await self._is_terminal(orderid):
            return
        with self._slots.slot():
            request.scope[RELEASE_SLOT]()
            deadline.extend(seconds)
            async with self._feeds.follow(orderid, auth.current()) as feed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await feed.until(lambda: feed.is_terminal or feed.closed)

    async def _is_terminal(self, orderid: str) -> bool:
        # Also authorizes the caller, who must not wait for another user's order either.
        found = await self._clients.purchase.GetOrderTicket(GetOrderTicketRequest(orderid=orderid))
        return found.order_ticket.status in TERMINAL
