"""A process's own clock in a simulation: it differs from the true time, drifts, and is set now and then."""

from collections.abc import Callable


class SkewedClock:
    """The clocks of a `Runtime`, over the true time."""

    def __init__(self, time: Callable[[], float], start: float, skew: float, drift: float) -> None:
        """`time`: seconds since the run began; `start`: that moment, in seconds since the epoch.

        `drift`: seconds that it gains in a second.
        """
        self._time = time
        self._start = start
        self._skew = skew
        self._rate = 1 + drift

    def now(self) -> float:
        """Return the wall-clock time, in seconds since the epoch."""
        return self._start + self._skew + self.monotonic()

    def monotonic(self) -> float:
        """Return the seconds that have passed, as far as this clock can tell."""
        return self._time() * self._rate

    def set(self, skew: float) -> None:
        """Set the wall clock forward or back, to `skew` seconds from the true time, and its drift so far."""
        self._skew = skew
