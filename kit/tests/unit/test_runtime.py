"""Backoff delays double, with jitter; the default runtime is the real one."""

import time
import uuid
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from sagakit.runtime import Backoff, Runtime

backoffs = st.builds(
    Backoff,
    first_seconds=st.floats(0.001, 10),
    cap_seconds=st.floats(0.001, 1_000),
    attempts=st.integers(0, 40),
)


@given(backoff=backoffs, seed=st.integers())
def test_one_delay_per_attempt_within_its_limit(backoff: Backoff, seed: int):
    delays = list(backoff.delays(Random(seed)))

    assert len(delays) == backoff.attempts
    assert all(0 <= delay <= backoff.max_delay(number) for number, delay in enumerate(delays))


@given(backoff=backoffs, attempt=st.integers(0, 10_000))
def test_max_delay_doubles_up_to_the_cap(backoff: Backoff, attempt: int):
    limit = backoff.max_delay(attempt)

    assert limit <= backoff.cap_seconds
    assert backoff.max_delay(attempt + 1) == min(2 * limit, backoff.cap_seconds) or attempt >= 60


def test_delays_are_spread_evenly():
    """Otherwise transactions that conflicted would conflict again."""
    delays = [next(Backoff(1, 1, 1).delays(Random(seed))) for seed in range(1_000)]

    assert min(delays) < 0.05
    assert max(delays) > 0.95
    assert 0.45 < sum(delays) / len(delays) < 0.55


async def test_default_runtime_is_real():
    runtime = Runtime()
    before = time.time()

    await runtime.sleep(0.01)

    assert before + 0.01 <= runtime.now() + 0.001
    assert runtime.monotonic() <= time.monotonic()
    assert uuid.UUID(runtime.new_id()).version == 4
    assert runtime.new_id() != runtime.new_id()
    assert Runtime().random.random() != Runtime().random.random()
