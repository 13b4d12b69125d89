"""Token buckets, how clients are told apart, and the slots of followers."""

import weakref

import pytest

from services.gateway.connections import Connections
from services.gateway.errors import Problem
from services.gateway.order_feed.slots import FollowerSlots
from services.gateway.rate_limits import BURST_SECONDS, TokenBucket, client_address
from services.gateway.settings import StreamLimits


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


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::1", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
def test_ipv6_clients_are_told_apart_by_their_network(one, other, is_same):
    addresses = {client_address({"client": (each, 1)}, 0) for each in (one, other)}

    assert (len(addresses) == 1) is is_same


@pytest.mark.parametrize("forwarded", ["192.0.2.1:5678", "192.0.2.1", "[::ffff:192.0.2.1]:5678"])
def test_port_in_a_forwarded_address_does_not_tell_clients_apart(forwarded):
    scope = {"headers": [(b"x-forwarded-for", forwarded.encode())]}

    assert client_address(scope, 1) == client_address({"client": ("192.0.2.1", 1)}, 0)


def test_one_client_cannot_take_the_slots_of_others():
    slots = FollowerSlots(StreamLimits(max_streams=5, max_streams_per_client=2))
    releases = [slots.acquire("a") for _ in range(2)]

    with pytest.raises(Problem) as rejected:
        slots.acquire("a")
    slots.acquire("b")
    releases[0]()
    slots.acquire("a")

    assert (rejected.value.status_code, rejected.value.reason) == (429, "too-many-streams")


def test_all_clients_together_have_a_limited_number_of_slots():
    slots = FollowerSlots(StreamLimits(max_streams=3))
    releases = [slots.acquire(client) for client in "abc"]

    with pytest.raises(Problem) as rejected:
        slots.acquire("d")
    releases[0]()
    slots.acquire("d")

    assert (rejected.value.status_code, rejected.value.reason) == (503, "too-many-streams")


def test_client_is_forgotten_with_its_last_follower():
    class Client(str):
        """A name of which one can tell whether anything still refers to it."""

        __slots__ = ("__weakref__",)

    slots, client = FollowerSlots(StreamLimits()), Client("a")
    known = weakref.ref(client)
    releases = [slots.acquire(client) for _ in range(2)]
    del client

    releases.pop()()
    while_following = known()
    releases.pop()()

    assert while_following == "a"
    del while_following
    assert known() is None


class Connection:
    """A connection, and its transport."""

    is_open = True
    reads = True

    def __init__(self, connections: Connections) -> None:
        self.transport = self
        connections.add(self)
        connections.set_idle(self, False)

    def is_closing(self) -> bool:
        return not self.reads

    def abort(self) -> None:
        self.is_open = False


async def test_connection_that_cannot_be_closed_because_its_client_does_not_read_makes_room():
    connections = Connections(3)
    served, stuck, other = (Connection(connections) for _ in range(3))
    stuck.reads = False

    fresh = Connection(connections)
    further = Connection(connections)

    assert [each.is_open for each in (served, stuck, other, fresh, further)] == [
        True,
        False,
        True,
        True,
        False,
    ]
