"""Long polls: an answer about an order is held back until the order has ended, or the time is up."""

import asyncio
from contextlib import suppress
from typing import Any

from starlette.requests import Request

from rpc.purchase_pb2 import GetOrderTicketRequest
from sagakit import deadline
from services.gateway import behalf
from services.gateway.clients import SERVICES, Clients
from services.gateway.middleware import LEAVE_ADMISSION
from services.gateway.moves import ENDED
from services.gateway.places import Places
from services.gateway.watches import Watches

_GET_TICKET = SERVICES["purchase"].methods_by_name["GetOrderTicket"]


class Waiting:
    """For whoever would otherwise ask all the time."""

    def __init__(self, clients: Clients, watches: Watches | None, places: Places) -> None:
        """Without `watches` nothing is heard of orders here, and nobody is kept waiting."""
        self._clients = clients
        self._watches = watches
        self._places = places

    async def until_ended(self, request: Request, orderid: str, seconds: float) -> None:
        """Return once the order has ended, or so much time has passed.

        Raises Problem where too many wait already, and AioRpcError where the order is not there.
        """
        if self._watches is None or await self._has_ended(orderid):
            return
        with self._places.taken():
            request.scope[LEAVE_ADMISSION]()
            deadline.extend(seconds)
            async with self._watches.following(orderid, behalf.current()) as watch:
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await watch.until(lambda: watch.ended or watch.closed)

    async def _has_ended(self, orderid: str) -> bool:
        # Asked on the caller's behalf: whoever may not see the order is not to wait for it either.
        found: Any = await self._clients.call(_GET_TICKET, GetOrderTicketRequest(orderid=orderid))
        return found.order_ticket.status in ENDED
