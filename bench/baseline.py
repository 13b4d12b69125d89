"""A textbook implementation to compare with: read-write transactions of the blocking client.

It deduplicates with a query and publishes the outbox by a scan in the request path.
`python -m bench.baseline` serves it in one process, so that it needs no calls between processes.
"""

import json
import os
import time
import uuid
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI
from google.api_core.exceptions import Aborted, GoogleAPICallError
from google.cloud import datastore, pubsub_v1
from pydantic import BaseModel

from contract.topology import TOPOLOGY

ATTEMPTS = 10
ITEMS = 100
"""Orders are for different items; with a single one they would wait for one another's locks."""


class CheckoutRequest(BaseModel):
    """The part of the request that is needed; the cart's name determines the item."""

    cartid: str


class Baseline:
    """Purchase and stock in one class."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._store = datastore.Client(project=project)
        self._publisher = pubsub_v1.PublisherClient()
        self._subscriber = pubsub_v1.SubscriberClient()

    def open(self) -> None:
        for number in range(ITEMS):
            item = datastore.Entity(self._store.key("BaselineItem", str(number)))
            item["available"] = 1_000_000
            self._store.put(item)
        for service in ("purchase", "stock"):
            self._publisher.create_topic(name=self._topic(service))
        self._listen("stock", "purchase", self._reserve)
        self._listen("purchase", "stock", self._approve)

    def check_out(self, cartid: str) -> dict[str, str]:
        ticket = datastore.Entity(self._store.key("BaselineTicket", str(uuid.uuid4())))
        ticket.update(status="pre-approved", item=str(hash(cartid) % ITEMS))
        with self._store.transaction():
            self._store.put(ticket)
            self._enqueue("purchase", ticket)
        self._publish()
        return {"orderid": ticket.key.name, "status": "pre-approved"}

    def _reserve(self, orderid: str, status: str) -> None:
        if status != "pre-approved":
            return
        ticket = self._store.get(self._store.key("BaselineTicket", orderid))
        item = self._store.get(self._store.key("BaselineItem", ticket["item"]))
        item["available"] -= 1
        self._store.put(item)
        reservation = datastore.Entity(self._store.key("BaselineReservation", orderid))
        reservation["status"] = "paid"
        self._store.put(reservation)
        self._enqueue("stock", reservation)

    def _approve(self, orderid: str, status: str) -> None:
        ticket = self._store.get(self._store.key("BaselineTicket", orderid))
        ticket["status"] = "approved" if status == "paid" else status
        self._store.put(ticket)
        self._enqueue("purchase", ticket)

    def _enqueue(self, service: str, about: datastore.Entity) -> None:
        row = datastore.Entity(self._store.key("BaselineOutbox", str(uuid.uuid4())))
        row.update(topic=service, orderid=about.key.name, status=about["status"], sent=False)
        self._store.put(row)

    def _publish(self) -> None:
        query = self._store.query(kind="BaselineOutbox")
        query.add_filter(filter=datastore.query.PropertyFilter("sent", "=", False))
        for row in query.fetch():
            body = json.dumps({"orderid": row["orderid"], "status": row["status"]}).encode()
            self._publisher.publish(self._topic(row["topic"]), body, eventid=row.key.name).result()
            row["sent"] = True
            self._store.put(row)

    def _listen(self, service: str, topic: str, handle: Callable[[str, str], None]) -> None:
        name = f"projects/{self._project}/subscriptions/baseline.{service}"
        self._subscriber.create_subscription(name=name, topic=self._topic(topic))

        def receive(message: pubsub_v1.subscriber.message.Message) -> None:
            try:
                self._apply(message.attributes["eventid"], json.loads(message.data), handle)
            except GoogleAPICallError:
                message.nack()
            else:
                message.ack()

        self._subscriber.subscribe(name, receive)

    def _apply(self, eventid: str, body: dict[str, str], handle: Callable[[str, str], None]) -> None:
        query = self._store.query(kind="BaselineSeen")
        query.add_filter(filter=datastore.query.PropertyFilter("eventid", "=", eventid))
        if list(query.fetch(limit=1)):
            return
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self._store.transaction():
                    handle(body["orderid"], body["status"])
                    seen = datastore.Entity(self._store.key("BaselineSeen"))
                    seen["eventid"] = eventid
                    self._store.put(seen)
                break
            except Aborted:
                if attempt == ATTEMPTS:
                    raise
                time.sleep(0.05 * attempt)
        self._publish()

    def _topic(self, service: str) -> str:
        return f"projects/{self._project}/topics/{TOPOLOGY.topics[service]}"


def main() -> None:
    shop = Baseline(os.environ["GOOGLE_CLOUD_PROJECT"])
    shop.open()
    app = FastAPI()

    @app.post("/purchase/api/checkout")
    def checkout(request: CheckoutRequest) -> dict[str, dict[str, str]]:
        return {"order_ticket": shop.check_out(request.cartid)}

    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")


if __name__ == "__main__":
    main()
