"""Faults between the services and the emulators: a seeded choice for every call."""

import asyncio
from collections import Counter
from enum import StrEnum
from random import Random

from tests.chaos import RATE


class Fault(StrEnum):
    """A fault of a call or a stream."""

    REJECTED = "rejected"
    """The server does not receive the call."""
    UNANSWERED = "done, answered with an error"
    DELAYED = "delayed"
    DOUBLED = "published twice"
    DROPPED = "acknowledgement dropped"
    BROKEN = "stream broken"


POSSIBLE = {
    "Lookup": (Fault.REJECTED, Fault.DELAYED),
    "RunQuery": (Fault.REJECTED, Fault.DELAYED),
    "Commit": (Fault.REJECTED, Fault.DELAYED, Fault.UNANSWERED),
    "Publish": (Fault.REJECTED, Fault.DELAYED, Fault.UNANSWERED, Fault.DOUBLED),
    "Acknowledge": (Fault.REJECTED, Fault.DELAYED, Fault.DROPPED),
    "ModifyAckDeadline": (Fault.REJECTED, Fault.DELAYED),
    "StreamingPull": (Fault.BROKEN,),
}
"""Faults by RPC name."""

MAX_DELAY_SECONDS = 2.0


class Faults:
    """Chooses and counts faults; no faults happen before `begin` and after `end`."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.counts: Counter[str] = Counter()
        self._on = False
        self._unavailable_until = 0.0
        self._stalled_until = 0.0

    def begin(self) -> None:
        self._on = True

    def end(self) -> None:
        self._on = False
        self._unavailable_until = self._stalled_until = 0.0

    def of(self, rpc: str) -> Fault | None:
        """Return the fault of this call, or None."""
        choices = POSSIBLE.get(rpc)
        if not self._on or choices is None or self.random.random() >= RATE:
            return None
        fault = self.random.choice(choices)
        self.counts[fault] += 1
        return fault

    def delay(self) -> float:
        return self.random.uniform(0.05, MAX_DELAY_SECONDS)

    def become_unavailable(self, seconds: float) -> None:
        """Reject every call and break every stream for `seconds`."""
        self._unavailable_until = _now() + seconds
        self.counts["emulators unavailable"] += 1

    def stall(self, seconds: float) -> None:
        """Answer no call for `seconds`."""
        self._stalled_until = _now() + seconds
        self.counts["emulators stalled"] += 1

    @property
    def unavailable(self) -> bool:
        return _now() < self._unavailable_until

    async def wait_out_stall(self) -> None:
        await asyncio.sleep(max(0.0, self._stalled_until - _now()))


def _now() -> float:
    return asyncio.get_running_loop().time()
