"""Locks by name: one at a time, first come first served, no deadlock, nothing left behind."""

import asyncio
from itertools import permutations

import pytest

from sagakit.locks import KeyedLocks
from tests.support.clock import settled


async def test_one_at_a_time_holds_a_name():
    locks, inside, most = KeyedLocks(), 0, 0

    async def visit() -> None:
        nonlocal inside, most
        async with locks.hold(["a"]):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(visit() for _ in range(20)))

    assert most == 1


async def test_different_names_are_held_together():
    locks = KeyedLocks()

    async with locks.hold(["a"]), asyncio.timeout(1), locks.hold(["b"]):
        pass


async def test_first_come_first_served():
    locks, order = KeyedLocks(), []

    async def visit(number: int) -> None:
        async with locks.hold(["a"]):
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(visit(number) for number in range(10)))

    assert order == list(range(10))


async def test_whoever_needs_several_names_in_whatever_order_waits_for_no_deadlock():
    locks = KeyedLocks()

    async def visit(names) -> None:
        for _ in range(10):
            async with locks.hold(names):
                await asyncio.sleep(0)

    orders = [*permutations("abc"), "ab", "ba", "ac", "ca", "bc", "cb"]

    async with asyncio.timeout(5):
        await asyncio.gather(*(visit(names) for names in orders))


async def test_a_name_given_twice_is_held_once():
    locks = KeyedLocks()

    async with asyncio.timeout(1), locks.hold(["a", "a"]):
        pass


async def test_nothing_is_left_behind():
    """Names are ids: a table of every one ever used would only grow."""
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


async def test_whoever_gives_up_waiting_holds_up_nobody():
    locks = KeyedLocks()
    order = []

    async def visit(name: str) -> None:
        async with locks.hold(["b", "a"]):
            order.append(name)

    async with locks.hold(["b"]):
        gives_up = asyncio.create_task(visit("gives up"))
        await settled()
        waits = asyncio.create_task(visit("waits"))
        await settled()
        gives_up.cancel()
        await asyncio.gather(gives_up, return_exceptions=True)
    await asyncio.wait_for(waits, 1)

    assert order == ["waits"]
    assert (locks._locks, locks._users) == ({}, {})
