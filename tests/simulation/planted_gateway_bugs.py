"""Planted bugs of the gateway: what a client that follows its order misses, or sees twice."""

from dataclasses import replace
from unittest.mock import patch

from sagakit.runtime import Backoff
from services.gateway.order_feed import feed, live
from tests.simulation.bug import Planted, bug
from tests.simulation.faults import FOLLOWED


@bug(faults=replace(FOLLOWED, dropped=0.3, gateway_restarts_per_minute=0))
def a_feed_relies_on_events_alone() -> Planted:
    """An event that is lost, or published between snapshot and subscription, is never made up for."""
    never = Backoff(first_seconds=1e6, cap_seconds=1e6, attempts=0)
    return patch.object(feed, "SILENCE_BACKOFF", never)


@bug(faults=FOLLOWED)
def a_reconnected_stream_begins_anew() -> Planted:
    return patch.object(live, "_keys", lambda _: [])
