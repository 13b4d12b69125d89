"""The outboxes of a simulation: how often an event is claimed and published, and which one stays."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from sagakit.bus import Message
from sagakit.outbox import outbox_kind
from sagakit.tables import Insert, Key, Update
from sagakit.testing.backends import Commit
from sagakit.testing.reached import TAKEN_OVER

MAX_PUBLISHED = 60
"""Maximum publications of one event: after a crash its row is claimed with exponential backoff."""
MAX_CLAIMS = 12
"""Maximum claims of an outbox row. With exponential backoff an outage of an hour takes this many."""
MAX_CLAIM_SKEW_SECONDS = 150.0
"""Maximum clock skew with which claims are counted. With clocks that differ by more than five minutes, the
`due` of a claim may be past for another process, or implausibly far ahead (`due.MAX_AHEAD_SECONDS`)."""


class Outboxes:
    """Counts claims and publications of each event."""

    def __init__(self, services: Iterable[str], reached: Counter[str], skew_seconds: float) -> None:
        self._kinds = {outbox_kind(service) for service in services}
        self._reached = reached
        self._is_skewed = skew_seconds > MAX_CLAIM_SKEW_SECONDS
        self._claims: Counter[str] = Counter()
        self._published: Counter[str] = Counter()
        self._committed_by: dict[str, str] = {}
        """The process that committed an event, by eventid."""

    def committed(self, commit: Commit) -> Iterator[str]:
        """Count the claims of a commit; yield an event that was claimed too often."""
        for each in commit.mutations:
            if each.key.kind not in self._kinds:
                continue
            name = each.key.name
            if isinstance(each, Insert):
                self._committed_by[name] = commit.process
            elif isinstance(each, Update):
                self._reached[TAKEN_OVER] += self._committed_by.get(name) != commit.process
                self._claims[name] += 1
                if self._claims[name] == MAX_CLAIMS + 1 and not self._is_skewed:
                    yield f"event {name} of {each.key.kind} was claimed {MAX_CLAIMS + 1} times"

    def published(self, messages: Sequence[Message]) -> None:
        """Count the publications of events."""
        self._published.update(message.attributes.get("eventid", "") for message in messages)

    def problems(self) -> list[str]:
        """Return the events that were published too often."""
        often = {eventid: n for eventid, n in self._published.items() if n > MAX_PUBLISHED}
        return [f"event {eventid} was published {n} times" for eventid, n in often.items()]

    def left(self, keys: Iterable[Key]) -> list[str]:
        """Return the events among `keys`, those of all rows, that are still in an outbox."""
        rows = (key for key in keys if key.kind in self._kinds)
        return [f"event {key.name} stays in the outbox {key.kind}" for key in rows]
