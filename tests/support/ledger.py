"""Compares the orders that clients placed with the tickets that exist."""

from collections.abc import Iterator, Mapping

Basket = Mapping[str, int]


def differences(accepted: Mapping[str, Basket], tickets: Mapping[str, Basket]) -> Iterator[str]:
    """Return a line for each difference between the accepted orders and the tickets, both by orderid."""
    yield from (f"order {orderid} is lost" for orderid in accepted if orderid not in tickets)
    yield from (f"no client placed order {orderid}" for orderid in tickets if orderid not in accepted)
    for orderid, basket in accepted.items():
        ordered = tickets.get(orderid, basket)
        if ordered != basket:
            yield f"order {orderid} is for {dict(ordered)} instead of {dict(basket)}"
