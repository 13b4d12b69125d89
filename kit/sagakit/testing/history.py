"""The history of a run: every call of every client as it was seen from outside, checked afterwards.

Calls are ordered by their position in the history, not by their times: of two calls that one process records,
it is known which ended before the other began, even if a clock shows the same time for both.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

T = TypeVar("T")

Result = Literal["ok", "failed", "unknown"]
"""`ok`: answered; `failed`: it had no effect; `unknown`: it may take effect at any time, or never."""


@dataclass(slots=True, eq=False)
class Call:
    """A client's request, and the answer."""

    client: str
    resource: Hashable
    """The subject, such as a cart; calls about different resources are checked apart."""
    request: Any
    idempotency_key: str | None
    """Calls about a resource with the same key are attempts of one call, which takes effect once."""
    began: int
    """Position in the history."""
    began_at: float
    """Seconds, by the clock of the history."""
    ended: int | None = None
    """Position of the answer; None: it is not known whether, or when, the call takes effect."""
    ended_at: float | None = None
    result: Result = "unknown"
    answer: Any = None

    def __str__(self) -> str:
        until = "" if self.ended_at is None else f"{self.ended_at:.3f}"
        answer = f": {self.answer}" if self.result == "ok" else f" ({self.result})"
        return f"[{self.began_at:.3f}, {until}] {self.client} {self.request}{answer}"


class History:
    """Records calls. It grows until the calls about a resource that is finished are taken out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds, for reports only."""
        self._clock = clock
        self._position = 0
        self._calls: dict[Hashable, list[Call]] = defaultdict(list)
        self.results: Counter[Result] = Counter()
        """How many calls were recorded, by result; those that have not ended are not among them."""

    def begin(
        self, client: str, resource: Hashable, request: Any, idempotency_key: str | None = None
    ) -> Call:
        """Record that a client sends a call. Until it is recorded as `ok` or `failed` it is unknown."""
        self._position += 1
        call = Call(client, resource, request, idempotency_key, self._position, self._clock())
        self._calls[resource].append(call)
        return call

    def ok(self, call: Call, answer: Any) -> None:
        """Record an answer; a rejection that depends on the resource's state is one, too."""
        self._end(call, "ok")
        call.answer = answer

    def failed(self, call: Call) -> None:
        """Record that the call certainly had no effect, for example because it was rejected unread."""
        self._end(call, "failed")

    def unknown(self, call: Call) -> None:
        """Record that there is no answer, or one after which the call may have taken effect, or may yet."""
        self._end(call, "unknown")
        call.ended = None

    def take(self, resource: Hashable) -> list[Call]:
        """Return the calls about a resource, and forget them."""
        return self._calls.pop(resource, [])

    @property
    def resources(self) -> Collection[Hashable]:
        """The resources about which there are calls."""
        return list(self._calls)

    def _end(self, call: Call, result: Result) -> None:
        self._position += 1
        call.ended, call.ended_at, call.result = self._position, self._clock(), result
        self.results[result] += 1


def repeat_violations(calls: Iterable[Call]) -> Iterator[str]:
    """Yield what breaks the promise of idempotency keys: every attempt of a call has the same answer."""
    first: dict[tuple[Hashable, str], Call] = {}
    for call in _answered(calls):
        if call.idempotency_key is not None:
            other = first.setdefault((call.resource, call.idempotency_key), call)
            if (other.request, other.answer) != (call.request, call.answer):
                yield f"{call.resource}: key {call.idempotency_key} has two answers: {other}; {call}"


def progress_violations(
    reads: Iterable[Call],
    follows: Callable[[Any, Any], bool],
    value: Callable[[Any], Any] = lambda answer: answer,
) -> Iterator[str]:
    """Yield the reads that show a resource going back, whichever client, and whichever process, saw it.

    `follows(later, earlier)`: whether a resource with the value `earlier` can get the other value `later`. A
    read that began after another had ended must follow it; of two that overlap, one must follow the other.
    `value`: what counts of an answer.
    """
    first: dict[Any, Call] = {}
    for call in _answered(reads):
        now = value(call.answer)
        for before, other in first.items():
            overlap = not _before(other, call)
            if now != before and not follows(now, before) and not (overlap and follows(before, now)):
                yield f"{call.resource}: {now} does not follow {before}: {other}; {call}"
        first.setdefault(now, call)


def version_violations(
    reads: Iterable[Call], value: Callable[[Any], Any] = lambda answer: answer
) -> Iterator[str]:
    """Yield the reads that show a version, such as an ETag, which a newer one had replaced before they began.

    For a resource that never has the same version twice. `value`: the version in an answer.
    """
    first: dict[Any, Call] = {}
    replaced: dict[Any, Call] = {}
    for call in _answered(reads):
        version = value(call.answer)
        newer = replaced.get(version)
        if newer is not None and _before(newer, call):
            yield f"{call.resource}: {version} was replaced: {newer}; {call}"
        for other, seen in first.items():
            if other != version and _before(seen, call):
                replaced.setdefault(other, call)
        first.setdefault(version, call)


def stream_violations(
    connections: Iterable[Sequence[T]], expected: Collection[T] | None = None, end: T | None = None
) -> Iterator[str]:
    """Yield what breaks the promise of an event stream that a client followed over several connections.

    `connections`: the events that each brought, oldest first. No event may come twice, and none after `end`;
    once `end` has come, all `expected` ones must have come, and no others, if they are given.
    """
    received = [event for connection in connections for event in connection]
    yield from (f"event {event} came {n} times" for event, n in Counter(received).items() if n > 1)
    if end not in received:
        return
    last = received.index(end)
    yield from (f"event {event} came after the end" for event in received[last + 1 :] if event != end)
    if expected is not None:
        yield from (f"event {event} never came" for event in sorted(map(str, {*expected} - {*received})))
        unknown = {*received} - {*expected, end}
        yield from (f"event {event} is not on record" for event in sorted(map(str, unknown)))


def _answered(calls: Iterable[Call]) -> list[Call]:
    return sorted((each for each in calls if each.result == "ok"), key=_ended)


def _ended(call: Call) -> int:
    assert call.ended is not None  # noqa: S101  it is answered
    return call.ended


def _before(one: Call, other: Call) -> bool:
    """Whether one had ended when the other began."""
    return one.ended is not None and one.ended < other.began
