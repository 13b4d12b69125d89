"""Token buckets."""

from services.gateway.rate_limits import BURST_SECONDS, TokenBucket


class Clock:
    now = 100.0


def bucket(clock: Clock, per_second: float = 5, **more) -> TokenBucket:
    return TokenBucket(per_second, lambda: clock.now, **more)


def acquired(bucket: TokenBucket, client: str, times: int) -> list[bool]:
    return [bucket.acquire(client) == 0 for _ in range(times)]


def test_idle_client_may_send_a_burst_and_then_has_to_wait():
    limited = bucket(Clock())
    burst = int(5 * BURST_SECONDS)

    assert acquired(limited, "a", burst + 2) == [True] * burst + [False] * 2


def test_acquire_returns_the_seconds_to_wait():
    clock = Clock()
    limited = bucket(clock)
    acquired(limited, "a", 10)

    wait = limited.acquire("a")
    clock.now += wait - 0.001
    early = limited.acquire("a")
    clock.now += 0.002

    assert wait == 0.2
    assert early > 0
    assert limited.acquire("a") == 0


def test_rejected_requests_cost_no_tokens():
    clock = Clock()
    limited = bucket(clock)
    acquired(limited, "a", 1_000)

    clock.now += 1

    assert sum(acquired(limited, "a", 10)) == 5


def test_each_client_has_its_own_tokens():
    limited = bucket(Clock())
    acquired(limited, "a", 20)

    assert limited.acquire("b") == 0


def test_rate_below_one_per_second_allows_one_request():
    clock = Clock()
    limited = bucket(clock, per_second=0.1)

    assert acquired(limited, "a", 2) == [True, False]
    clock.now += 10
    assert limited.acquire("a") == 0


def test_least_recently_seen_clients_are_dropped():
    limited = bucket(Clock(), max_clients=3)
    acquired(limited, "a", 20)
    for client in "bcd":
        limited.acquire(client)

    dropped = limited.acquire("a")
    acquired(limited, "d", 20)

    assert dropped == 0
    assert limited.acquire("d") > 0
    assert len(limited._levels) == 3
