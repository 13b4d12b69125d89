"""Every implementation of `PullSubscription` keeps its promises."""

import pytest

from sagakit.testing.contracts import PullContract
from tests.support.brokers import Broker, BrokerAt


class TestPull(PullContract):
    @pytest.fixture(params=["memory", "embedded", pytest.param("pubsub", marks=pytest.mark.emulators)])
    def broker(self, request: pytest.FixtureRequest, broker_at: BrokerAt) -> Broker:
        return broker_at(request.param)
