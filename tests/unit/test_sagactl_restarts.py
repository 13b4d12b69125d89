"""When a program that ended is restarted."""

import random

from sagakit.ctl.local.supervisor import RESTART_BACKOFF, STABLE_AFTER_SECONDS, RestartPolicy


class MaxRandom(random.Random):
    """Always draws the upper bound."""

    def uniform(self, a, b):
        return b


def test_restart_delays_double_up_to_30_seconds_until_a_stable_run():
    policy = RestartPolicy(RESTART_BACKOFF, MaxRandom())

    delays = [policy.delay_after(lived_seconds=1) for _ in range(9)]

    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert policy.crash_looping
    assert policy.delay_after(lived_seconds=STABLE_AFTER_SECONDS) == 0.5
    assert not policy.crash_looping


def test_restart_delays_are_jittered():
    delays = {RestartPolicy(RESTART_BACKOFF, random.Random(seed)).delay_after(1) for seed in range(10)}

    assert len(delays) == 10
    assert all(0.25 <= delay <= 0.5 for delay in delays)


def test_third_exit_in_a_row_is_given_up_and_the_fifth_is_a_crash_loop():
    policy = RestartPolicy(RESTART_BACKOFF, random.Random())
    seen = []

    for _ in range(5):
        policy.delay_after(lived_seconds=1)
        seen.append((policy.gave_up, policy.crash_looping))

    assert seen == [(False, False), (False, False), (True, False), (True, False), (True, True)]
