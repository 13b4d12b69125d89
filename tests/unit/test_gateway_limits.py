"""How often a client may ask."""

from services.gateway.rate_limits import BURST_SECONDS, TokenBucket


class Clock:
    now = 100.0


def rate(clock: Clock, per_second: float = 5, **more) -> TokenBucket:
    return TokenBucket(per_second, lambda: clock.now, **more)


def taken(rate: TokenBucket, client: str, times: int) -> list[bool]:
    return [rate.acquire(client) == 0 for _ in range(times)]


def test_a_quiet_client_may_ask_a_burst_and_then_has_to_wait():
    limited = rate(Clock())
    burst = int(5 * BURST_SECONDS)

    assert taken(limited, "a", burst + 2) == [True] * burst + [False] * 2


def test_it_is_told_how_long():
    clock = Clock()
    limited = rate(clock)
    taken(limited, "a", 10)

    wait = limited.acquire("a")
    clock.now += wait - 0.001
    early = limited.acquire("a")
    clock.now += 0.002

    assert wait == 0.2
    assert early > 0
    assert limited.acquire("a") == 0


def test_being_refused_costs_nothing():
    clock = Clock()
    limited = rate(clock)
    taken(limited, "a", 1_000)

    clock.now += 1

    assert sum(taken(limited, "a", 10)) == 5


def test_clients_are_counted_apart():
    limited = rate(Clock())
    taken(limited, "a", 20)

    assert limited.acquire("b") == 0


def test_a_rate_below_one_a_second_lets_one_through():
    clock = Clock()
    limited = rate(clock, per_second=0.1)

    assert taken(limited, "a", 2) == [True, False]
    clock.now += 10
    assert limited.acquire("a") == 0


def test_so_many_clients_are_remembered_and_no_more():
    limited = rate(Clock(), max_clients=3)
    taken(limited, "a", 20)
    for client in "bcd":
        limited.acquire(client)

    forgotten = limited.acquire("a")
    taken(limited, "d", 20)

    assert forgotten == 0
    assert limited.acquire("d") > 0
    assert len(limited._levels) == 3
