"""How long to wait before a program that ended is started again."""

import random

from sagactl.local.supervisor import RESTART_BACKOFF, STABLE_AFTER_SECONDS, RestartPolicy


class Longest(random.Random):
    """Always the most that may be drawn."""

    def uniform(self, a, b):
        return b


def test_pauses_double_up_to_half_a_minute():
    restarts = RestartPolicy(RESTART_BACKOFF, Longest())

    pauses = [restarts.delay_after(lived_seconds=1) for _ in range(9)]

    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_pauses_differ_lest_all_services_start_at_once():
    pauses = {RestartPolicy(RESTART_BACKOFF, random.Random(seed)).delay_after(1) for seed in range(10)}

    assert len(pauses) == 10
    assert all(0.25 <= pause <= 0.5 for pause in pauses)


def test_a_death_after_a_steady_life_is_the_first_again():
    restarts = RestartPolicy(RESTART_BACKOFF, Longest())
    for _ in range(5):
        restarts.delay_after(lived_seconds=1)

    pause = restarts.delay_after(lived_seconds=STABLE_AFTER_SECONDS)

    assert pause == 0.5
    assert not restarts.crash_looping


def test_three_deaths_in_a_row_are_hopeless_and_five_a_loop():
    restarts = RestartPolicy(RESTART_BACKOFF, random.Random())
    seen = []

    for _ in range(5):
        restarts.delay_after(lived_seconds=1)
        seen.append((restarts.gave_up, restarts.crash_looping))

    assert seen == [(False, False), (False, False), (True, False), (True, False), (True, True)]
