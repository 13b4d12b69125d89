"""Whether a history is linearizable: as if every call had taken effect at one moment between its ends.

The algorithm is that of Wing and Gong, which tries, depth first, every order in which calls can have taken
effect, with Lowe's memoisation: a set of calls that leaves the same state is continued once. Histories of
different resources are checked apart, because a history is linearizable if that of each resource is.

- J. M. Wing, C. Gong: Testing and Verifying Concurrent Objects. J. Parallel Distrib. Comput. 17 (1993)
- G. Lowe: Testing for Linearizability. Concurrency Computat. Pract. Exper. 29 (2017)
- M. Herlihy, J. M. Wing: Linearizability: A Correctness Condition for Concurrent Objects. TOPLAS 12 (1990)
"""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sagakit.testing.history import Call

S = TypeVar("S", bound=Hashable)

Apply = Callable[[S, Any], tuple[S, Any]]
"""The resource as it would be with one client: (state, request) → (state afterwards, answer)."""

MAX_CONFIGURATIONS = 200_000
"""Maximum sets of calls to examine. Time and memory grow exponentially with calls that overlap."""
SHOWN_CALLS = 8


class Undecided(Exception):
    """The history is too large to be decided."""


@dataclass(frozen=True, slots=True)
class _Operation:
    """A call with all its attempts."""

    request: Any
    began: int
    ended: float
    """Infinite: it may have taken effect since it began, may yet, or never."""
    answer: Any


def linearizability_violation(calls: Iterable[Call], apply: Apply[S], initial: S) -> str | None:
    """Return which answer no order of the calls explains, None if there is an order for all.

    `calls`: those about one resource, which was in the state `initial` before. Raises Undecided.
    """
    sent = sorted((each for each in calls if each.result != "failed"), key=lambda each: each.began)
    if _is_linearizable(_operations(sent), apply, initial):
        return None
    ends = sorted(each.ended for each in sent if each.ended is not None)
    # The beginning of a linearizable history is linearizable, too.
    low, high = 0, len(ends) - 1
    while low < high:
        middle = (low + high) // 2
        if _is_linearizable(_operations(sent, ends[middle]), apply, initial):
            low = middle + 1
        else:
            high = middle
    shown = [each for each in sent if each.began <= ends[low]]
    (last,) = (each for each in shown if each.ended == ends[low])
    before = "; ".join(str(each) for each in shown[-SHOWN_CALLS - 1 :] if each is not last)
    return f"{last.resource}: no order of the calls explains {last}, after {before or 'none'}"


def _operations(calls: Sequence[Call], until: float = math.inf) -> list[_Operation]:
    """Return what was asked until that position; what is answered later is not known yet."""
    attempts: dict[Any, list[Call]] = {}
    for call in calls:
        if call.began <= until:
            # Attempts of one call take effect once: after the first began, before the first answer.
            name = id(call) if call.idempotency_key is None else call.idempotency_key
            attempts.setdefault(name, []).append(call)
    return [_merged(each, until) for each in attempts.values()]


def _merged(attempts: Sequence[Call], until: float) -> _Operation:
    request, began = attempts[0].request, attempts[0].began
    answered = [(each.ended, each.answer) for each in attempts if each.ended and each.ended <= until]
    ended, answer = min(answered, key=lambda each: each[0], default=(math.inf, None))
    return _Operation(request, began, ended, answer)


def _is_linearizable(operations: Sequence[_Operation], apply: Apply[S], initial: S) -> bool:
    """Sets of operations are integers with a bit for each; `operations` are sorted by their beginnings."""
    answered = sum(1 << n for n, each in enumerate(operations) if each.ended < math.inf)
    seen = {(0, initial)}
    configurations = [(0, initial)]
    while configurations:
        done, state = configurations.pop()
        if done & answered == answered:
            return True
        for n in _next(operations, done):
            after, answer = apply(state, operations[n].request)
            is_answered = operations[n].ended < math.inf
            # A call without an answer and without an effect can as well be left out.
            possible = answer == operations[n].answer if is_answered else after != state
            reached = (done | 1 << n, after)
            if possible and reached not in seen:
                seen.add(reached)
                configurations.append(reached)
        if len(seen) > MAX_CONFIGURATIONS:
            raise Undecided(f"more than {MAX_CONFIGURATIONS} configurations of {len(operations)} calls")
    return False


def _next(operations: Sequence[_Operation], done: int) -> Iterator[int]:
    """Yield what can have taken effect next: it began before any other ended. The earliest comes last."""
    first_end, waiting = math.inf, []
    for n in range((~done & (done + 1)).bit_length() - 1, len(operations)):
        if operations[n].began > first_end:
            break
        if not done >> n & 1:
            waiting.append(n)
            first_end = min(first_end, operations[n].ended)
    return reversed(waiting)
