"""The cache of the issuer's keys: when it fetches, who waits for it, and what holds meanwhile."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from sagakit import deadline
from sagakit.auth.jwks import (
    CACHE_SECONDS,
    MAX_STALE_SECONDS,
    MAX_WAITING,
    MIN_REFETCH_SECONDS,
    STALE_RETRY_SECONDS,
    JwksCache,
)
from sagakit.errors import Unavailable
from sagakit.testing.clock import Clock, settled
from tests.support.issuer import ec_key, public

KEYS = {kid: public(kid, ec_key()) for kid in ("first", "second")}
FETCH_SECONDS = 0.3


class SlowIssuer:
    """An issuer that takes a while to answer with the keys it had when it was asked."""

    def __init__(self, clock: Clock, *kids: str) -> None:
        self.clock = clock
        self.kids = list(kids)
        self.unavailable = False
        self.asked_at: list[float] = []

    async def fetch(self) -> Mapping[str, Any]:
        self.asked_at.append(self.clock.monotonic())
        kids, unavailable = list(self.kids), self.unavailable
        await self.clock.sleep(FETCH_SECONDS)
        if unavailable:
            raise Unavailable("no answer")
        return {"keys": [KEYS[kid] for kid in kids]}


class Requests:
    """Tokens that need a key of the issuer, all verified by the same process."""

    def __init__(self, *kids: str) -> None:
        self.clock = Clock()
        self.issuer = SlowIssuer(self.clock, *kids)
        self.cache = JwksCache(self.issuer.fetch, self.clock.runtime())

    def arrive(self, kid: str, count: int = 1) -> "list[asyncio.Task[Any]]":
        """Let tokens with that key id arrive now."""
        return [asyncio.create_task(self._outcome(kid)) for _ in range(count)]

    async def _outcome(self, kid: str) -> str:
        try:
            key = await self.cache.find(kid)
        except Unavailable:
            return "unavailable"
        return "rejected" if key is None else "accepted"

    async def after(self, seconds: float, *arrived: "list[asyncio.Task[Any]]") -> list[str | None]:
        """Return the outcome of each token after that time, None if it still waits."""
        await self.clock.advance(seconds)
        return [task.result() if task.done() else None for tasks in arrived for task in tasks]

    async def warm(self) -> None:
        """Fetch the first keys, long enough ago that another fetch is due at once if needed."""
        assert await self.after(FETCH_SECONDS, self.arrive("first")) == ["accepted"]
        await self.clock.advance(MIN_REFETCH_SECONDS)
        self.issuer.asked_at.clear()


async def test_concurrent_tokens_at_a_cold_start_share_one_fetch():
    requests = Requests("first")
    early = requests.arrive("first", 5)
    await requests.clock.advance(FETCH_SECONDS / 2)
    late = requests.arrive("first", 5)

    assert await requests.after(FETCH_SECONDS, early, late) == ["accepted"] * 10
    assert len(requests.issuer.asked_at) == 1


async def test_concurrent_tokens_of_a_new_key_share_one_fetch():
    requests = Requests("first")
    await requests.warm()
    requests.issuer.kids.append("second")

    arrived = requests.arrive("second", 5) + requests.arrive("first")

    assert await requests.after(FETCH_SECONDS, arrived) == ["accepted"] * 6
    assert len(requests.issuer.asked_at) == 1


async def test_unknown_key_id_before_a_rotation_delays_the_new_key_by_a_second_at_most():
    requests = Requests("first")
    await requests.warm()
    forged = requests.arrive("forged")
    assert await requests.after(FETCH_SECONDS, forged) == ["rejected"]
    requests.issuer.kids.append("second")

    arrived = requests.arrive("second", 3)

    assert await requests.after(MIN_REFETCH_SECONDS + FETCH_SECONDS, arrived) == ["accepted"] * 3


async def test_fetch_that_began_before_the_key_existed_is_repeated():
    requests = Requests("first")
    await requests.warm()
    forged = requests.arrive("forged")
    await requests.clock.advance(FETCH_SECONDS / 2)
    requests.issuer.kids.append("second")

    arrived = requests.arrive("second")

    assert await requests.after(FETCH_SECONDS, forged, arrived) == ["rejected", None]
    assert await requests.after(MIN_REFETCH_SECONDS + FETCH_SECONDS, arrived) == ["accepted"]


async def test_forged_key_ids_neither_flood_the_issuer_nor_block_a_new_key():
    requests = Requests("first")
    await requests.warm()
    forged = []
    for tenth in range(50):
        forged += requests.arrive(f"forged-{tenth}", 5)
        if tenth == 20:
            requests.issuer.kids.append("second")
            arrived = requests.arrive("second")
            known = requests.arrive("first")
        await requests.clock.advance(0.1)

    outcomes = await requests.after(2 * (MIN_REFETCH_SECONDS + FETCH_SECONDS), forged)
    assert set(outcomes) == {"rejected"}
    assert await requests.after(0, arrived, known) == ["accepted", "accepted"]
    asked_at = requests.issuer.asked_at
    assert min(after - before for before, after in zip(asked_at, asked_at[1:], strict=False)) >= 1 - 1e-6


async def test_unknown_key_ids_that_wait_are_limited_and_known_ones_not_affected():
    requests = Requests("first")
    await requests.warm()
    waiting = requests.arrive("forged", MAX_WAITING)
    await settled()

    more, known = requests.arrive("forged"), requests.arrive("first")

    assert await requests.after(0, waiting[:1], more, known) == [None, "unavailable", "accepted"]
    assert set(await requests.after(FETCH_SECONDS, waiting)) == {"rejected"}
    assert await requests.after(MIN_REFETCH_SECONDS + FETCH_SECONDS, requests.arrive("forged")) == [
        "rejected"
    ]


async def test_unknown_key_id_is_not_rejected_while_the_issuer_does_not_answer():
    requests = Requests("first")
    await requests.warm()
    requests.issuer.unavailable = True

    arrived = requests.arrive("second") + requests.arrive("first")

    assert await requests.after(FETCH_SECONDS, arrived) == ["unavailable", "accepted"]


async def test_token_waits_no_longer_than_its_request():
    requests = Requests("first")
    with deadline.set_deadline(0.01):
        gave_up = requests.arrive("first")
    await gave_up[0]

    assert await requests.after(0, gave_up) == ["unavailable"]
    # The fetch itself continues, for later requests.
    assert await requests.after(FETCH_SECONDS, requests.arrive("first")) == ["accepted"]
    assert len(requests.issuer.asked_at) == 1


async def test_first_fetch_is_retried():
    requests = Requests("first")
    requests.issuer.unavailable = True
    assert await requests.after(FETCH_SECONDS, requests.arrive("first", 2)) == ["unavailable"] * 2

    requests.issuer.unavailable = False

    assert await requests.after(MIN_REFETCH_SECONDS + FETCH_SECONDS, requests.arrive("first")) == ["accepted"]


@pytest.mark.parametrize("step", [0, -3600, 3600])
async def test_keys_are_cached_and_refetched_whatever_the_wall_clock_does(step):
    requests = Requests("first")
    await requests.warm()
    requests.clock.step(step)
    assert await requests.after(0, requests.arrive("first")) == ["accepted"]
    assert requests.issuer.asked_at == []

    await requests.clock.advance(CACHE_SECONDS)
    assert await requests.after(FETCH_SECONDS, requests.arrive("first")) == ["accepted"]
    assert len(requests.issuer.asked_at) == 1


async def test_revoked_key_is_rejected_once_the_cache_is_old():
    requests = Requests("first")
    await requests.warm()
    requests.issuer.kids = ["second"]
    assert await requests.after(0, requests.arrive("first")) == ["accepted"]

    await requests.clock.advance(CACHE_SECONDS)

    assert await requests.after(FETCH_SECONDS, requests.arrive("second")) == ["accepted"]
    assert await requests.after(MIN_REFETCH_SECONDS + FETCH_SECONDS, requests.arrive("first")) == ["rejected"]


async def test_old_keys_are_refreshed_by_one_token_and_used_by_the_others():
    requests = Requests("first")
    await requests.warm()
    await requests.clock.advance(CACHE_SECONDS)

    first, others = requests.arrive("first"), requests.arrive("first", 5)

    assert await requests.after(0, first, others) == [None] + ["accepted"] * 5
    assert await requests.after(FETCH_SECONDS, first) == ["accepted"]
    assert len(requests.issuer.asked_at) == 1


async def test_cached_keys_outlast_an_outage_of_a_day():
    requests = Requests("first")
    await requests.warm()
    requests.issuer.unavailable = True
    for _ in range(5):
        await requests.clock.advance(CACHE_SECONDS)
        assert await requests.after(FETCH_SECONDS, requests.arrive("first")) == ["accepted"]
        assert await requests.after(STALE_RETRY_SECONDS / 2, requests.arrive("first")) == ["accepted"]
    assert len(requests.issuer.asked_at) == 5

    await requests.clock.advance(MAX_STALE_SECONDS - 6 * CACHE_SECONDS)
    assert await requests.after(FETCH_SECONDS, requests.arrive("first")) == ["accepted"]
    await requests.clock.advance(CACHE_SECONDS)
    assert await requests.after(FETCH_SECONDS, requests.arrive("first")) == ["unavailable"]
