"""Signals that request a stop."""

import asyncio
import os
import signal

import pytest

from sagakit.ctl.local.signals import StopSignals


@pytest.fixture
async def stop():
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # Ignored if the tests run under nohup.
    signals = StopSignals()
    yield signals
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().remove_signal_handler(signum)
    signal.signal(signal.SIGHUP, inherited)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signal_requests_a_stop(stop, signum):
    os.kill(os.getpid(), signum)

    await asyncio.wait_for(stop.requested.wait(), 5)
    assert not stop.force.is_set()


async def test_second_ctrl_c_forces_the_stop(stop):
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.wait_for(stop.requested.wait(), 5)
    os.kill(os.getpid(), signal.SIGINT)

    await asyncio.wait_for(stop.force.wait(), 5)


async def test_second_sigterm_does_not(stop):
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(stop.requested.wait(), 5)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGHUP)

    # Signals are handled in order, so both have been handled once a third has.
    third = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, third.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(third.wait(), 5)
    asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)
    assert not stop.force.is_set()
