"""The walk from a cart to the end of its order, through the gateway, showing every request and answer."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from sagactl.errors import CannotRun
from sagactl.tryout import fresh_id

ANSWER_SECONDS = 10.0
END_SECONDS = 20.0
_POLL_SECONDS = 0.1

Say = Callable[[str], None]
Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Walk:
    """What is put into a cart, and how its order is to end."""

    title: str
    items: Mapping[str, int]
    ends: str


WALKS = (
    Walk("Blue alone is paid", {"blue": 3}, "approved"),
    Walk("Blue and red; red waives payment", {"blue": 3, "red": 2}, "approved"),
    Walk("Yellow is sold out", {"yellow": 1}, "reserve-failed"),
    Walk("Gold is dearer than a payment may be", {"gold": 1}, "payment-failed"),
)


def demo(gateway: str, say: Say) -> None:
    """Return once every walk went as it is to go; CannotRun where an answer is not as expected."""
    with httpx.Client(base_url=gateway, timeout=ANSWER_SECONDS, trust_env=False) as client:
        for walk in WALKS:
            say(f"{walk.title}:")
            _Walker(client, say, fresh_id("demo")).walk(walk)
            say("")


class _Walker:
    def __init__(self, client: httpx.Client, say: Say, cartid: str) -> None:
        self._client = client
        self._say = say
        self._cart = {"cartid": cartid}

    def walk(self, walk: Walk) -> None:
        self._expect({"cart": {**self._cart, "status": "open"}}, self._post("create_cart", self._cart))
        inside: list[Body] = []
        for itemid, count in walk.items.items():
            item = {"itemid": itemid, "count": count}
            inside.append(item)
            self._expect({"cart_items": inside}, self._post("add_item", {**self._cart, **item}))
        self._expect({"cart": {**self._cart, "status": "closed"}}, self._post("close_cart", self._cart))
        orderid, status = _ticket(self._post("checkout", self._cart))
        self._expect("pre-approved", status)
        self._expect(walk.ends, self._end_of(orderid, walk.ends))

    def _end_of(self, orderid: str, awaited: str) -> str:
        """The status that was awaited, or the one it has at the deadline."""
        order = {"orderid": orderid}
        deadline = time.monotonic() + END_SECONDS
        while True:
            answer = self._request("get_order_ticket", order)
            _, status = _ticket(answer)
            if status == awaited or time.monotonic() > deadline:
                self._show("get_order_ticket", order, answer)
                return status
            time.sleep(_POLL_SECONDS)

    def _post(self, method: str, body: Body) -> Any:
        answer = self._request(method, body)
        self._show(method, body, answer)
        return answer

    def _request(self, method: str, body: Body) -> Any:
        try:
            response = self._client.post(f"/purchase/api/{method}", json=body)
        except httpx.HTTPError as error:
            raise CannotRun(f"no answer from {self._client.base_url}: {error}") from error
        if response.status_code != httpx.codes.OK:
            self._show(method, body, response.text)
            raise CannotRun(f"{method} was answered with {response.status_code}")
        try:
            return response.json()
        except ValueError as error:
            raise CannotRun(f"{method} was answered with what is no JSON") from error

    def _show(self, method: str, body: Body, answer: object) -> None:
        self._say(f"  {method} {_compact(body)}")
        self._say(f"    {answer if isinstance(answer, str) else _compact(answer)}")

    def _expect(self, wanted: object, found: object) -> None:
        if found != wanted:
            raise CannotRun(f"expected {_compact(wanted)}, got {_compact(found)}")


def _ticket(answer: Any) -> tuple[str, str]:
    try:
        return answer["order_ticket"]["orderid"], answer["order_ticket"]["status"]
    except (KeyError, TypeError) as error:
        raise CannotRun(f"there is no order ticket in {_compact(answer)}") from error


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
