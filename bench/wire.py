"""Counts the operations at Datastore and Pub/Sub as they are billed."""

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
from google.cloud.datastore_v1 import types as datastore
from google.pubsub_v1 import types as pubsub

from bench.proxy import Proxy

# List prices of us-central1: https://cloud.google.com/datastore/pricing, https://cloud.google.com/pubsub/pricing
DOLLARS = {"reads": 0.03 / 100_000, "writes": 0.09 / 100_000, "deletes": 0.01 / 100_000}
DOLLARS_PER_TEBIBYTE = 40.0
MIN_BYTES = 1_000
"""Minimum size that a request to Pub/Sub is billed for."""


@dataclass(slots=True)
class Meter:
    """Operations, RPCs, messages and bytes."""

    counts: Counter[str] = field(default_factory=Counter)

    def of(self, orders: int) -> dict[str, float]:
        """Return each count per order."""
        return {name: round(count / orders, 2) for name, count in sorted(self.counts.items())}

    def dollars(self, orders: int) -> float:
        """Return the price of a million orders."""
        operations = sum(self.counts[name] * price for name, price in DOLLARS.items())
        traffic = self.counts["Pub/Sub bytes billed"] / 2**40 * DOLLARS_PER_TEBIBYTE
        return round((operations + traffic) / orders * 1_000_000, 2)


class Metered(Proxy):
    """A proxy that counts what passes."""

    def __init__(self, server: grpc.aio.Channel, meter: Meter) -> None:
        super().__init__(server)
        self._meter = meter

    async def call(self, method: str, request: bytes, context: Any) -> bytes:
        answer = await super().call(method, request, context)
        name = method.rpartition("/")[2]
        counts = self._meter.counts
        counts[f"RPC {name}"] += 1
        match name:
            case "Lookup":
                counts["reads"] += len(datastore.LookupRequest.pb().FromString(request).keys)
            case "RunQuery":
                batch = datastore.RunQueryResponse.pb().FromString(answer).batch
                counts["queries"] += 1
                # A query that finds nothing is billed as one read.
                counts["reads"] += max(1, len(batch.entity_results))
            case "Commit":
                for mutation in datastore.CommitRequest.pb().FromString(request).mutations:
                    counts["deletes" if mutation.WhichOneof("operation") == "delete" else "writes"] += 1
            case "Publish":
                counts["Pub/Sub messages published"] += len(
                    pubsub.PublishRequest.pb().FromString(request).messages
                )
                self._bill(request)
        return answer

    async def streamed(self, method: str, response: bytes, context: Any) -> None:  # noqa: ARG002
        received = pubsub.StreamingPullResponse.pb().FromString(response).received_messages
        self._meter.counts["Pub/Sub messages delivered"] += len(received)
        if received:
            self._bill(response)

    def _bill(self, sent: bytes) -> None:
        self._meter.counts["Pub/Sub bytes"] += len(sent)
        self._meter.counts["Pub/Sub bytes billed"] += max(MIN_BYTES, len(sent))


def metering(meter: Meter) -> Any:
    """Return a proxy factory for `proxied`."""
    return partial(Metered, meter=meter)
