"""The recordings, with readable names for ids; shared by all parts of the record_all."""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.golden.http import Http
from tests.golden.suite import Message, Observed, body_of, sagactl
from tests.golden.text import Names, stored
from tests.support.eventually import eventually

LEGACY, RESOURCES, GATEWAY, LIMITS, AUTH = "legacy", "resources", "gateway", "limits", "authentication"
ORDERS, STREAM, FAILURES, UNREACHABLE = "orders", "stream", "failures", "unreachable"
TICKET, RESERVATION, PAYMENT = "OrderTicket", "Reservation", "Payment"


class Seen:
    """Collects it, to be files in the end."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.names = Names()
        self.http = Http(self.names)
        self.files: dict[str, str] = {}
        self._printed: list[str] = []

    def all_files(self) -> Mapping[str, str]:
        rest = {f"rest/{name}.txt": text for name, text in self.http.files().items()}
        return {**rest, **self.files, "sagactl.txt": self.names("\n".join(self._printed))}

    def environ(self, name: str) -> dict[str, str]:
        return {"BACKEND": "embedded", "EMBEDDED_FILE": str(self._directory / f"{name}.sqlite3")}

    async def order(self, client: httpx.AsyncClient, name: str, headers: Any = None, **items: int) -> str:
        cart = f"/v1/carts/{name.replace(' ', '-')}"
        await client.put(cart, headers=headers)
        for itemid, count in items.items():
            await client.put(f"{cart}/items/{itemid}", json={"count": count}, headers=headers)
        await client.post(f"{cart}:close", headers=headers)
        answer = await client.post(f"{cart}:checkout", headers=headers)
        return self.name(answer.json()["orderid"], name)

    def name(self, orderid: str, name: str) -> str:
        self.names.of[orderid] = f"<order {name}>"
        return orderid

    def id(self, name: str) -> str:
        return next(orderid for orderid, known in self.names.of.items() if known == f"<order {name}>")

    async def settled(self, observed: Observed, orderid: str) -> None:
        """Return once nothing more happens to an order."""

        def is_settled() -> bool:
            ticket, *others = (
                observed.rows.get((kind, orderid), {}) for kind in (TICKET, RESERVATION, PAYMENT)
            )
            ended = ticket.get("status") in {"approved", "reserve-failed", "payment-failed", "canceled"}
            known = ticket.get("status") != "canceled" or bool(others[1])
            return (
                ended and known and not any("due" in row for row in (ticket, *others)) and observed.all_sent()
            )

        await eventually(is_settled, 30)

    async def print(self, *arguments: str, environ: Mapping[str, str], ordered: bool = True) -> None:
        text = await sagactl(environ, *arguments)
        text = re.sub(r" +(?:\d+m )?\d+s(?=  \d+ reminders)", "  <age>", text)
        lines = self.names(text).splitlines()
        if not ordered:
            lines.sort()
        self._printed.append("\n".join([f"## sagactl {' '.join(arguments)}", *lines, ""]))

    def record(self, prefix: str, observed: Observed, *, exact: bool) -> None:
        """Record the published events and stored entities, each once, because number and order vary."""
        published = defaultdict(set)
        for topic, message in observed.published:
            order, status = self._order_of(message), body_of(message).get("status")
            label = f"<event {topic.rpartition('.')[2]} {status} of {order}>"
            self.names.of.setdefault(message.attributes["eventid"], label)
        for topic, message in observed.published:
            line = f"{topic} {dict(sorted(message.attributes.items()))} {message.data!r}"
            published[self._order_of(message)].add(self.names(line))
        lines = [
            line for order in sorted(published) for line in ("## " + order, *sorted(published[order]), "")
        ]
        self.files[f"{prefix}events.txt"] = "\n".join(lines)
        kept = [each for each in observed.stored if exact or not each[0].endswith("ReceivedEvent")]
        rows = {stored(*each, names=self.names, exact=exact) for each in kept}
        self.files[f"{prefix}entities.txt"] = "\n".join(sorted(rows)) + "\n"

    def _order_of(self, message: Message) -> str:
        return self.names.of.get(body_of(message).get("orderid", ""), "")
