"""The deadline of a call bounds the calls that are made on its behalf."""

from sagakit import deadline


async def test_long_polling_extends_the_deadline_of_its_call_only():
    deadline.extend(10)
    assert deadline.remaining(60) == 60

    with deadline.set_deadline(1):
        deadline.extend(10)
        assert 10 < deadline.remaining(60) <= 11
    assert deadline.remaining(60) == 60
