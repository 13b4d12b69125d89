"""Processes in which the runs of a campaign take place side by side."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Thread

from sagakit.testing.scenario import Outcome
from tests.simulation.worlds import CAMPAIGN


@contextmanager
def processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Start processes as they are needed; afterwards none is left, and what had not begun is dropped."""
    executor = ProcessPoolExecutor(jobs, get_context("spawn"), _leave_signals_to_the_parent)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def run(world: int | None, seed_and_sagas: tuple[int, int]) -> Outcome:
    """Run once, in the world of a seed; None: that of the run's own."""
    return CAMPAIGN.run(*seed_and_sagas, world)


def _leave_signals_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # A parent that was killed asks no process to end.
    Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
