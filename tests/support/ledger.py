"""What customers know of their orders, against the tickets: none lost, none made up, each as ordered."""

from collections.abc import Iterator, Mapping

Basket = Mapping[str, int]


def differences(accepted: Mapping[str, Basket], tickets: Mapping[str, Basket]) -> Iterator[str]:
    """Where the two differ, a line each; both by orderid."""
    yield from (f"order {orderid} is lost" for orderid in accepted if orderid not in tickets)
    yield from (f"nobody has placed the order {orderid}" for orderid in tickets if orderid not in accepted)
    for orderid, basket in accepted.items():
        ordered = tickets.get(orderid, basket)
        if ordered != basket:
            yield f"order {orderid} is for {dict(ordered)} instead of {dict(basket)}"
