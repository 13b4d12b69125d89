"""Per-key locks: exclusive, fair, free of deadlocks, and removed when unused."""

import asyncio
from itertools import permutations

import pytest

from sagakit.locks import KeyedLocks
from sagakit.testing.clock import settled


async def test_different_names_are_independent():
    locks = KeyedLocks()

    async with locks.hold(["a"]), asyncio.timeout(10), locks.hold(["b"]):
        pass


async def test_one_task_at_a_time_holds_a_name_first_come_first_served():
    locks, order, inside = KeyedLocks(), [], 0

    async def visit(number: int) -> None:
        nonlocal inside
        async with locks.hold(["a"]):
            inside += 1
            order.append((number, inside))
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(visit(number) for number in range(20)))

    assert order == [(number, 1) for number in range(20)]


async def test_several_names_in_any_order_do_not_deadlock():
    locks = KeyedLocks()

    async def visit(names) -> None:
        for _ in range(10):
            async with locks.hold(names):
                await asyncio.sleep(0)

    # Not all names can be compared with each other.
    orders = [*permutations(["a", 1, ("c", 2)]), *permutations(["a", 1]), *permutations(["a", ("c", 2)])]

    async with asyncio.timeout(5):
        await asyncio.gather(*(visit(names) for names in orders))


async def test_a_name_given_twice_is_held_once():
    locks = KeyedLocks()

    async with asyncio.timeout(10), locks.hold(["a", "a"]):
        pass


async def test_unused_locks_are_removed():
    """Names are ids: a lock for every one ever used would be a leak."""
    locks = KeyedLocks()

    async def visit(names) -> None:
        async with locks.hold(names):
            await asyncio.sleep(0)

    async def fail() -> None:
        async with locks.hold(["a", "b"]):
            raise LookupError

    await asyncio.gather(*(visit(names) for names in permutations("abcd", 3)))
    with pytest.raises(LookupError):
        await fail()

    assert (locks._locks, locks._users) == ({}, {})


async def test_cancelled_waiter_does_not_block_others():
    locks = KeyedLocks()
    order = []

    async def visit(name: str) -> None:
        async with locks.hold(["b", "a"]):
            order.append(name)

    async with locks.hold(["b"]):
        cancelled = asyncio.create_task(visit("cancelled"))
        await settled()
        waits = asyncio.create_task(visit("waits"))
        await settled()
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
    await asyncio.wait_for(waits, 10)

    assert order == ["waits"]
    assert (locks._locks, locks._users) == ({}, {})
