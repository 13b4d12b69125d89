"""Waiting for the first of several awaitables."""

import asyncio

import pytest

from sagakit.concurrency import first_completed


async def test_first_result_is_returned_once_the_others_have_ended():
    ended = []

    async def slow() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("slow")
        return "slow"

    assert await first_completed(slow(), asyncio.sleep(0.01, "fast"), slow()) == "fast"
    assert ended == ["slow", "slow"]


async def test_error_of_one_that_completed_is_raised():
    """Also if another completed at the same time: a failure must not get lost."""
    failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    failure.set_exception(OSError("lost"))

    with pytest.raises(OSError, match="lost"):
        await first_completed(asyncio.sleep(0), failure)


async def test_cancellation_cancels_all():
    waiting = [asyncio.get_running_loop().create_future() for _ in range(2)]
    task = asyncio.create_task(first_completed(*waiting))
    await asyncio.sleep(0)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(each.cancelled() for each in waiting)
