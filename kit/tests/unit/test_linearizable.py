"""Linearizability is decided as by trying every order, and planted violations are found."""

from itertools import combinations, count, permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagakit.testing import linearizable
from sagakit.testing.history import Call, History
from sagakit.testing.linearizable import Undecided, linearizability_violation

READ, SET, ADD = "read", "set", "add"


def register(state: int, request: tuple[str, int]) -> tuple[int, Any]:
    """A number that is read, set or added to; each call returns what is there then."""
    kind, number = request
    after = {READ: state, SET: number, ADD: state + number}[kind]
    return after, after


def violation(calls: list[Call]) -> str | None:
    return linearizability_violation(calls, register, 0)


def explained_by_brute_force(calls: list[Call]) -> bool:
    """Whether one of all orders of the answered calls, and any of the others, explains every answer."""
    answered = [each for each in calls if each.result == "ok"]
    unknown = [each for each in calls if each.result == "unknown"]
    return any(
        explains(order)
        for count in range(len(unknown) + 1)
        for more in combinations(unknown, count)
        for order in permutations([*answered, *more])
    )


def explains(order: tuple[Call, ...]) -> bool:
    state = 0
    for n, call in enumerate(order):
        if any(other.ended is not None and other.ended < call.began for other in order[n + 1 :]):
            return False
        state, answer = register(state, call.request)
        if call.result == "ok" and answer != call.answer:
            return False
    return True


requests = st.tuples(st.sampled_from([READ, READ, SET, ADD]), st.integers(1, 2))
results = st.sampled_from(["ok", "ok", "ok", "unknown", "failed"])


@st.composite
def histories(draw) -> list[Call]:
    """At most six calls of overlapping clients, whose answers are arbitrary."""
    history, open_calls, calls = History(), [], []
    for _ in range(draw(st.integers(1, 6))):
        while open_calls and draw(st.booleans()):
            call = open_calls.pop(draw(st.integers(0, len(open_calls) - 1)))
            end(history, call, draw(results), draw(st.integers(0, 3)))
        open_calls.append(history.begin("c", "r", draw(requests)))
        calls.append(open_calls[-1])
    for call in open_calls:
        end(history, call, draw(results), draw(st.integers(0, 3)))
    return calls


def end(history: History, call: Call, result: str, answer: int) -> None:
    if result == "ok":
        history.ok(call, answer if call.request[0] != SET else call.request[1])
    else:
        getattr(history, result)(call)


@settings(max_examples=400, deadline=None)
@given(histories())
def test_the_verdict_is_that_of_trying_every_order(calls: list[Call]):
    assert (violation(calls) is None) == explained_by_brute_force(calls)


class Clients:
    """A history that is written down in words: what is sent and answered at once, or bit by bit."""

    def __init__(self) -> None:
        self.history = History(count().__next__)

    def sent(self, kind: str, number: int = 0, *, key: str | None = None) -> Call:
        return self.history.begin("a client", "cart-1", (kind, number), key)

    def answered(self, kind: str, answer: int, number: int = 0, *, key: str | None = None) -> Call:
        call = self.sent(kind, number, key=key)
        self.history.ok(call, answer)
        return call

    @property
    def violation(self) -> str | None:
        return violation(self.history.take("cart-1"))


@pytest.fixture
def clients() -> Clients:
    return Clients()


def test_stale_read_is_found(clients):
    clients.answered(SET, 1, 1)
    clients.answered(SET, 2, 2)
    clients.answered(READ, 1)

    assert "no order of the calls explains [4.000, 5.000] a client ('read', 0): 1" in clients.violation


def test_lost_update_is_found(clients):
    one, two = clients.sent(ADD, 1), clients.sent(ADD, 2)
    clients.history.ok(one, 1)
    clients.history.ok(two, 3)
    clients.answered(READ, 2)

    assert "('read', 0): 2" in clients.violation


def test_two_updates_that_both_saw_nothing_before_them_are_found(clients):
    one, two = clients.sent(ADD, 1), clients.sent(ADD, 2)
    clients.history.ok(one, 1)
    clients.history.ok(two, 2)

    assert "('add', 2): 2" in clients.violation


def test_overlapping_calls_may_take_effect_in_either_order(clients):
    one, two = clients.sent(SET, 1), clients.sent(SET, 2)
    clients.history.ok(one, 1)
    clients.history.ok(two, 2)
    clients.answered(READ, 1)

    assert clients.violation is None


@pytest.mark.parametrize("seen", [[5, 7], [5, 5], [5, 5, 7]])
def test_call_without_an_answer_may_take_effect_at_any_time_after_or_never(clients, seen):
    clients.answered(SET, 5, 5)
    clients.history.unknown(clients.sent(SET, 7))
    for each in seen:
        clients.answered(READ, each)

    assert clients.violation is None


def test_call_without_an_answer_takes_effect_once_and_not_before_it_was_sent(clients):
    clients.answered(READ, 0)
    clients.history.unknown(clients.sent(ADD, 1))
    clients.answered(READ, 1)
    clients.answered(READ, 2)

    assert "('read', 0): 2" in clients.violation


def test_rejected_call_has_no_effect(clients):
    clients.history.failed(clients.sent(SET, 1))
    clients.answered(READ, 1)

    assert clients.violation is not None


def test_attempts_with_one_key_take_effect_once(clients):
    clients.history.unknown(clients.sent(ADD, 1, key="k"))
    clients.answered(ADD, 1, 1, key="k")
    clients.answered(ADD, 1, 1, key="k")
    clients.answered(READ, 1)

    assert clients.violation is None


@pytest.mark.parametrize(("answer", "total"), [(2, 2), (1, 2)])
def test_attempts_with_one_key_that_take_effect_twice_are_found(clients, answer, total):
    clients.history.unknown(clients.sent(ADD, 1, key="k"))
    clients.answered(ADD, answer, 1, key="k")
    clients.answered(READ, total)

    assert clients.violation is not None


def test_stale_read_between_two_answers_with_one_key_is_found(clients):
    clients.answered(ADD, 1, 1, key="k")
    clients.answered(READ, 0)
    clients.answered(ADD, 1, 1, key="k")

    assert "('read', 0): 0" in clients.violation


def test_answer_to_another_call_is_found(clients):
    clients.answered(SET, 1, 1, key="k1")
    clients.answered(SET, 1, 2, key="k2")

    assert "('set', 2): 1" in clients.violation


def test_report_names_the_first_answer_that_cannot_be_explained(clients):
    for number in range(20):
        clients.answered(SET, number, number)
    clients.answered(READ, 18)
    clients.answered(READ, 19)

    found = clients.violation

    assert found.startswith(
        "cart-1: no order of the calls explains [40.000, 41.000] a client ('read', 0): 18"
    )
    assert "('set', 19): 19" in found
    assert "('set', 1): 1" not in found


def test_long_history_of_many_clients_is_decided(clients):
    """Sixteen clients that add at the same time, a hundred times over."""
    state = 0
    for _ in range(100):
        calls = [clients.sent(ADD, 1) for _ in range(16)]
        for call in reversed(calls):
            state += 1
            clients.history.ok(call, state)

    assert clients.violation is None


def test_history_that_is_too_large_is_undecided(clients, monkeypatch):
    monkeypatch.setattr(linearizable, "MAX_CONFIGURATIONS", 100)
    for number in range(20):
        clients.history.unknown(clients.sent(ADD, 2**number))
    clients.answered(READ, -1)

    with pytest.raises(Undecided, match="21 calls"):
        clients.violation  # noqa: B018  it raises
