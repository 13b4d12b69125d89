"""Pauses that double, with jitter; and what is real about the real runtime."""

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
def test_pauses_are_as_many_as_attempts_and_none_is_longer_than_allowed(backoff: Backoff, seed: int):
    pauses = list(backoff.delays(Random(seed)))

    assert len(pauses) == backoff.attempts
    assert all(0 <= pause <= backoff.max_delay(number) for number, pause in enumerate(pauses))


@given(backoff=backoffs, attempt=st.integers(0, 10_000))
def test_the_longest_pause_doubles_up_to_the_cap(backoff: Backoff, attempt: int):
    longest = backoff.max_delay(attempt)

    assert longest <= backoff.cap_seconds
    assert backoff.max_delay(attempt + 1) == min(2 * longest, backoff.cap_seconds) or attempt >= 60


def test_pauses_are_spread_evenly():
    """Else those who lost a race together would race again together."""
    pauses = [next(Backoff(1, 1, 1).delays(Random(seed))) for seed in range(1_000)]

    assert min(pauses) < 0.05
    assert max(pauses) > 0.95
    assert 0.45 < sum(pauses) / len(pauses) < 0.55


async def test_the_real_runtime_is_real():
    runtime = Runtime()
    before = time.time()

    await runtime.sleep(0.01)

    assert before + 0.01 <= runtime.now() + 0.001
    assert uuid.UUID(runtime.new_id()).version == 4
    assert runtime.new_id() != runtime.new_id()
    assert Runtime().random.random() != Runtime().random.random()
