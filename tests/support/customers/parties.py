"""Parties: customers who fill one cart together, order once, and follow the order at every gateway."""

import asyncio
import itertools
from collections import defaultdict
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import httpx

from tests.support import shop_history, sse
from tests.support.customers import requests
from tests.support.customers.calls import ANSWER_TIMEOUT_SECONDS, Caller, Request
from tests.support.customers.requests import Tags
from tests.support.shop_history import END, FINAL
from tests.support.sse import Sent

GUESTS = ("ada", "ben", "eve")
CHANGES = (2, 4)
"""How many calls each of them makes while the cart is filled, at least and at most."""
LONG_POLL_SECONDS = 2.0
BREAKS_OFF = 0.3
"""How often a follower drops the connection after an event, to continue at another gateway."""
SILENCE_SECONDS = 25.0
"""Beyond this a stream is broken: a gateway sends a comment every 10 s."""
RECONNECT_SECONDS = 0.2
FOLLOWED_ORDERS = 30
"""Orders that are followed at the same time, at most; others are not."""
LAST_SECONDS = 20.0
"""How long followers continue once no more orders are placed."""


class Parties:
    """Fills carts by several customers at once, and follows what they order."""

    def __init__(self, caller: Caller, http: httpx.AsyncClient, random: Random, *, removing: bool) -> None:
        """`removing`: whether they remove items."""
        self._removing = removing
        self._caller = caller
        self._http = http
        self._random = random
        self._history = caller.history
        self._keys = itertools.count()
        self._following: set[asyncio.Task[None]] = set()

    async def order(self, cartid: str, basket: Mapping[str, int]) -> tuple[str, Mapping[str, int]]:
        """Return the order that a party places, and what is in it: items of the basket, in any quantities."""
        first, *_ = basket
        created = [requests.put_cart(cartid, self._key()) for _ in GUESTS[:2]]
        await self._together(*created)
        tags: Mapping[str, Tags] = defaultdict(dict)
        made = await asyncio.gather(*(self._fill(guest, cartid, basket, tags[guest]) for guest in GUESTS))
        await self._call(GUESTS[0], requests.set_item(cartid, first, basket[first], self._key()))
        closed, *_ = await self._together(*(requests.close_cart(cartid, self._key()) for _ in GUESTS[:2]))
        # A repeated change has its first answer, although the cart is closed to changes.
        repeated = self._random.choice([each for several in made for each in several] or created)
        orderids = await self._together(
            *(requests.checkout(cartid, self._key()) for _ in GUESTS[:2]), repeated
        )
        if len({*orderids[:2]}) > 1:
            self._history.problems.append(f"cart {cartid} was ordered as {' and '.join(orderids[:2])}")
        await self._call(GUESTS[2], requests.get_cart(cartid, tags[GUESTS[2]]))
        self._history.check_cart(cartid)
        return orderids[0], dict(getattr(closed, "items", ()))

    def follow(self, orderid: str, *also: Coroutine[Any, Any, None]) -> None:
        """Begin to follow an order, while `also` is done to it; check it afterwards."""
        guests = GUESTS[:2] if len(self._following) < FOLLOWED_ORDERS else ()
        task = asyncio.create_task(self.followed(orderid, guests, also))
        self._following.add(task)
        task.add_done_callback(self._ended)

    async def followed(
        self,
        orderid: str,
        guests: Sequence[str] = GUESTS[:2],
        also: Iterable[Coroutine[Any, Any, None]] = (),
    ) -> None:
        """Follow an order to its end by polls and by a stream for each guest; check what they saw."""
        try:
            async with asyncio.TaskGroup() as group:
                for each in also:
                    group.create_task(each)
                for guest in guests:
                    group.create_task(self._poll(guest, orderid))
                    group.create_task(self._stream(guest, orderid))
        finally:
            for guest in guests:
                self._history.check_stream(orderid, guest)
            self._history.check_order(orderid)

    async def close(self) -> None:
        """Wait until the orders that are followed have ended, or for LAST_SECONDS."""
        following = [*self._following]
        if following:
            _, late = await asyncio.wait(following, timeout=LAST_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.wait(following)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._following.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._caller.problems.append(f"a follower failed: {task.exception()!r}")

    async def _fill(self, guest: str, cartid: str, basket: Mapping[str, int], tags: Tags) -> list[Request]:
        """Change and read the cart now and then; return the changes."""
        made: list[Request] = []
        for _ in range(self._random.randint(*CHANGES)):
            chance, itemid = self._random.random(), self._random.choice([*basket])
            if chance < 0.45:
                count = self._random.randint(1, 3)
                made.append(requests.set_item(cartid, itemid, count, self._key()))
                request = made[-1]
            elif chance < 0.55 and self._removing:
                made.append(requests.remove_item(cartid, itemid, self._key()))
                request = made[-1]
            elif chance < 0.65 and made:
                request = self._random.choice(made)
            else:
                request = requests.get_cart(cartid, tags)
            await self._call(guest, request)
            await asyncio.sleep(self._random.uniform(0, 0.05))
        return made

    async def _poll(self, guest: str, orderid: str) -> None:
        """Read the order until its status is final, and once more."""
        tags: Tags = {}
        pauses = self._caller.pauses()
        is_final = False
        while not is_final:
            wait = self._random.choice([0, 0, LONG_POLL_SECONDS])
            seen = await self._call(guest, requests.get_order(orderid, tags, wait))
            is_final = getattr(seen, "status", "") in FINAL
            await asyncio.sleep(next(pauses))
        await self._call(guest, requests.get_order(orderid, tags))

    async def _stream(self, guest: str, orderid: str) -> None:
        """Receive the order's events up to the end, over connections that break off, at any gateway."""
        last_id, ended = "", False
        while not ended:
            call = self._history.calls.begin(guest, shop_history.stream(orderid, guest), last_id)
            received: list[Sent] = []
            await self._receive(orderid, last_id, received)
            self._history.calls.ok(call, tuple(each.key for each in received))
            last_id = received[-1].id if received else last_id
            ended = bool(received) and received[-1].key == END
            await asyncio.sleep(self._random.uniform(0, RECONNECT_SECONDS))
        status = 0
        while status not in {httpx.codes.OK, httpx.codes.NO_CONTENT}:
            await asyncio.sleep(self._random.uniform(0, RECONNECT_SECONDS))
            status = await self._receive(orderid, last_id, [])
        if status != httpx.codes.NO_CONTENT:
            self._history.problems.append(f"order {orderid}: a stream continued after its end, with {status}")

    async def _receive(self, orderid: str, last_id: str, received: list[Sent]) -> int:
        """Append events until the connection ends, or is dropped; return its status code, 0 without one."""
        url = f"{self._caller.gateway()}/v1/orders/{orderid}/events"
        headers = {"Last-Event-ID": last_id} if last_id else {}
        timeout, status = httpx.Timeout(ANSWER_TIMEOUT_SECONDS, read=SILENCE_SECONDS), 0
        with suppress(httpx.TransportError):
            async with self._http.stream("GET", url, headers=headers, timeout=timeout) as response:
                status = response.status_code
                if status not in {httpx.codes.OK, httpx.codes.NO_CONTENT}:
                    self._caller.failed[str(status)] += 1
                    return status
                async for event in sse.events(response):
                    received.append(event)
                    if event.key == END or self._random.random() < BREAKS_OFF:
                        return status
        return status

    def _key(self) -> str:
        return f"key-{next(self._keys)}"

    async def _call(self, guest: str, request: Request) -> object:
        return await self._caller.call(guest, self._http, request)

    async def _together(self, *several: Request) -> list[Any]:
        return await asyncio.gather(
            *(self._call(guest, each) for guest, each in zip(GUESTS, several, strict=False))
        )
