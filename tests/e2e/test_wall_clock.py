"""A suite whose wall clock is stepped back while it runs."""

import sys

import pytest

from tests.support.eventually import wait_until
from tests.support.local_suite import ready_suite
from tests.support.wall_clock import COMPILER, WallClock

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or COMPILER is None, reason="preloads a library that gcc compiles"
)


def test_requests_and_orders_continue_when_the_wall_clock_steps_back(tmp_path):
    clock = WallClock(tmp_path)
    with ready_suite(tmp_path, environ=clock.environ) as local:
        for offset in (-30, -3_600):
            under_way = [local.order(red=1) for _ in range(3)]

            clock.step_to(offset)

            until_approved(local, [*under_way, *(local.order(blue=1) for _ in range(3))])


def until_approved(local, orderids):
    wait_until(lambda: {local.status(orderid) for orderid in orderids} == {"approved"}, seconds=10)
