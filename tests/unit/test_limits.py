"""Where two layers limit the same thing, the outer one is the smaller: what it accepts is served."""

import pytest

from contract.fields import MAX_ITEMS_PER_CART
from sagakit.auth.jwt import MAX_LENGTH
from sagakit.grpc.errors import DEFAULT_DEADLINE_SECONDS
from sagakit.grpc.server import MAX_CONCURRENT_CALLS, MAX_MESSAGE_BYTES, MAX_METADATA_BYTES
from sagakit.settings import SettingsError
from services.gateway.arrivals import MAX_BODY_BYTES
from services.gateway.connections import MAX_HEADER_BYTES
from services.gateway.settings import RequestLimits, Settings, StreamLimits
from services.stock.catalogue import PAGE
from tests.service.gateway_process import UNREACHABLE

REQUESTS, STREAMS = RequestLimits(), StreamLimits()
METADATA_OVERHEAD = 2_048
"""Pseudo-headers, the deadline, the trace, and gRPC's 32 bytes for each entry."""
ID_BYTES = 128 + 3
ITEM_BYTES = 4 * ID_BYTES


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        pytest.param(MAX_LENGTH + METADATA_OVERHEAD, MAX_METADATA_BYTES, id="bearer tokens"),
        pytest.param(MAX_LENGTH + METADATA_OVERHEAD, MAX_HEADER_BYTES, id="bearer tokens in headers"),
        pytest.param(MAX_BODY_BYTES, MAX_MESSAGE_BYTES, id="bodies"),
        pytest.param(PAGE * ITEM_BYTES, 4 * MAX_MESSAGE_BYTES, id="pages of the catalogue"),
        pytest.param(MAX_ITEMS_PER_CART * ITEM_BYTES, MAX_MESSAGE_BYTES, id="carts"),
        pytest.param(
            REQUESTS.concurrent_requests + STREAMS.max_streams, MAX_CONCURRENT_CALLS, id="concurrent calls"
        ),
        pytest.param(
            REQUESTS.concurrent_requests + STREAMS.max_streams, REQUESTS.max_connections, id="connections"
        ),
    ],
)
def test_what_the_outer_layer_accepts_the_inner_one_does_not_reject(outer, inner):
    assert outer <= inner


def test_request_takes_no_longer_than_services_allow_a_call():
    longest = {**UNREACHABLE, "REQUEST_TIMEOUT_SECONDS": f"{DEFAULT_DEADLINE_SECONDS:g}"}

    assert Settings.from_environ(longest).limits.request_seconds == DEFAULT_DEADLINE_SECONDS
    with pytest.raises(SettingsError, match="REQUEST_TIMEOUT_SECONDS"):
        Settings.from_environ({**longest, "REQUEST_TIMEOUT_SECONDS": f"{DEFAULT_DEADLINE_SECONDS + 1:g}"})
