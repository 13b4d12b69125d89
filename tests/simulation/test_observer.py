"""The simulation's observer judges order tickets alone."""

import pytest

from sagakit.bus import Message
from sagakit.outbox import outbox_kind
from sagakit.tables import Insert, Key
from tests.simulation.observer import Observer


@pytest.mark.parametrize("body", [b"", b"\xff", b"[]", b'{"points": 5}', b'{"status": "canceled"}'])
def test_event_of_another_type_breaks_no_promise(body: bytes):
    observer = Observer()
    row = {"type": "loyalty.Granted", "body": body, "attributes": {"again": "true"}, "claims": 0}

    observer.committed([Insert(Key(outbox_kind("purchase"), "e1"), row)])
    observer.acknowledged("stock-service.a-topic", Message(body, {"type": "loyalty.Granted"}), 1)

    assert observer.problems == []
