"""What goes wrong between the services and the emulators: a seeded choice for every call."""

import asyncio
from collections import Counter
from enum import StrEnum
from random import Random

from tests.chaos import RATE


class Fault(StrEnum):
    """What may happen to a call, or to a stream."""

    REFUSED = "refused"
    """The server never sees it."""
    UNANSWERED = "done, answered with an error"
    DELAYED = "delayed"
    DOUBLED = "published twice"
    DROPPED = "acknowledgement dropped"
    BROKEN = "stream broken"


MENU = {
    "Lookup": (Fault.REFUSED, Fault.DELAYED),
    "RunQuery": (Fault.REFUSED, Fault.DELAYED),
    "Commit": (Fault.REFUSED, Fault.DELAYED, Fault.UNANSWERED),
    "Publish": (Fault.REFUSED, Fault.DELAYED, Fault.UNANSWERED, Fault.DOUBLED),
    "Acknowledge": (Fault.REFUSED, Fault.DELAYED, Fault.DROPPED),
    "ModifyAckDeadline": (Fault.REFUSED, Fault.DELAYED),
    "StreamingPull": (Fault.BROKEN,),
}
"""By the name of the RPC."""

LONGEST_DELAY_SECONDS = 2.0


class Faults:
    """Chooses them, and counts those there were. Nothing goes wrong until `begin`, nor after `end`."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.counts: Counter[str] = Counter()
        self._on = False
        self._away_until = 0.0
        self._stalled_until = 0.0

    def begin(self) -> None:
        self._on = True

    def end(self) -> None:
        self._on = False
        self._away_until = self._stalled_until = 0.0

    def of(self, rpc: str) -> Fault | None:
        """What goes wrong with this call."""
        choices = MENU.get(rpc)
        if not self._on or choices is None or self.random.random() >= RATE:
            return None
        fault = self.random.choice(choices)
        self.counts[fault] += 1
        return fault

    def delay(self) -> float:
        return self.random.uniform(0.05, LONGEST_DELAY_SECONDS)

    def go_away(self, seconds: float) -> None:
        """Every call is refused, and every stream that has something to say is broken, for so long."""
        self._away_until = _now() + seconds
        self.counts["emulators away"] += 1

    def stall(self, seconds: float) -> None:
        """No call is answered for so long."""
        self._stalled_until = _now() + seconds
        self.counts["emulators stalled"] += 1

    @property
    def away(self) -> bool:
        return _now() < self._away_until

    async def wait_out_stall(self) -> None:
        await asyncio.sleep(max(0.0, self._stalled_until - _now()))


def _now() -> float:
    return asyncio.get_running_loop().time()
