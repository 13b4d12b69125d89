"""Random and malformed requests to every RPC: no UNKNOWN or INTERNAL, and every error has details."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2, status_pb2

from contract.shop import SHOP
from rpc import purchase_pb2 as pb
from services.gateway.clients import SERVICES
from tests.support.issuer import an_issuer
from tests.support.suite import Suite, running_suite

SEED = int(os.environ.get("FUZZ_SEED", "1"))
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "15")) * 10

Metadata = tuple[tuple[str, str], ...]
METHODS = [method for service in SERVICES.values() for method in service.methods]
EXPECTED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
}
INTS = (0, 1, -1, 2, 8, 9, 100, 101, 1_000_000, 1_000_001, 2**31, 2**53, 2**63 - 1, -(2**63))
STRINGS = (
    "",
    " ",
    ".",
    "-",
    "~",
    "a" * 128,
    "a" * 129,
    "x" * 70_000,
    "\0",
    "\n",
    "é",
    "💥",
    "../..",
    "a:b",
    "__k__",
)
KNOWN = ("c1", "c2", "c3", "k1", "k2", "blue", "red", "yellow", "gold")
"""Ids shared by calls, so that they often find existing entities."""


class RandomRequests:
    """Random requests, the same for the same seed."""

    def __init__(self, seed: int, orderids: Iterable[str], tokens: Sequence[Metadata]) -> None:
        self._random = random.Random(seed)
        self._ids = (*KNOWN, *orderids)
        self._tokens = tokens

    def metadata(self) -> Metadata:
        """Return the credentials of a random caller."""
        return self._random.choice(self._tokens)

    def request(self, method: MethodDescriptor) -> bytes:
        if self._random.random() < 0.1:
            return self._random.randbytes(self._random.randrange(1, 40))
        whole = self._message(method.input_type).SerializeToString()
        if self._random.random() < 0.05:
            return whole[: self._random.randrange(len(whole) + 1)]
        return whole

    def _message(self, descriptor: Descriptor) -> Message:
        message = GetMessageClass(descriptor)()
        for field in descriptor.fields:
            if self._random.random() < 0.9:
                setattr(message, field.name, self._value(field))
        return message

    def _value(self, field: FieldDescriptor) -> Any:
        if field.type == FieldDescriptor.TYPE_BOOL:
            return self._random.random() < 0.5
        if field.type == FieldDescriptor.TYPE_INT64:
            return self._random.choice((*INTS, self._random.randrange(1, 50), self._random.getrandbits(40)))
        return self._random.choice(self._ids if self._random.random() < 0.85 else STRINGS)


class Callers:
    """Channels to the services, for requests that may be malformed."""

    def __init__(self, targets: Mapping[str, str]) -> None:
        self._channels = {
            service.full_name: grpc.aio.insecure_channel(targets[name]) for name, service in SERVICES.items()
        }

    async def call(self, method: MethodDescriptor, request: bytes, metadata: Metadata) -> grpc.StatusCode:
        """Return the status code; check the type of the response, or the details of the error."""
        service = method.containing_service.full_name
        call = self._channels[service].unary_unary(f"/{service}/{method.name}")
        try:
            answer = await call(request, timeout=30, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            assert error.code() in EXPECTED, f"{method.full_name}({request!r}): {error}"
            assert_has_details(error)
            return error.code()
        GetMessageClass(method.output_type).FromString(answer)
        return grpc.StatusCode.OK

    async def close(self) -> None:
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))


def assert_has_details(error: grpc.aio.AioRpcError) -> None:
    """Check for ErrorInfo, and for field violations if the request is invalid."""
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert (info.domain, bool(info.reason)) == (SHOP.error_domain, True)
    if status.code == code_pb2.INVALID_ARGUMENT:
        assert status.details[1].Unpack(bad)
        assert bad.field_violations[0].description


@dataclass(frozen=True)
class Target:
    """A suite and the credentials to call it with; the first one belongs to an operator."""

    suite: Suite
    tokens: Sequence[Metadata]


@pytest.fixture(params=["open", "authenticated"])
async def target(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Target]:
    environ = {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "data.sqlite3")}
    if request.param == "open":
        async with running_suite(environ) as running:
            yield Target(running, [(), bearer("not a token")])
        return
    with an_issuer() as issuer:
        operator = issuer.token("root", scope="saga.operator")
        async with running_suite({**environ, **issuer.environ}, operator_token=operator) as running:
            tokens = [operator, issuer.token("alice"), issuer.token("bob"), issuer.token(exp=1), "?", ""]
            yield Target(running, [bearer(token) for token in tokens])


def bearer(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),) if token else ()


async def an_order(target: Target, cartid: str) -> str:
    purchase, credentials = target.suite.purchase, target.tokens[0]
    await purchase.CreateCart(pb.CreateCartRequest(cartid=cartid), metadata=credentials)
    await purchase.SetItem(pb.SetItemRequest(cartid=cartid, itemid="blue", count=1), metadata=credentials)
    await purchase.CloseCart(pb.CloseCartRequest(cartid=cartid), metadata=credentials)
    answer = await purchase.Checkout(pb.CheckoutRequest(cartid=cartid), metadata=credentials)
    return answer.order_ticket.orderid


async def test_no_request_causes_an_internal_error(target: Target):
    orderids = [await an_order(target, f"c{number}") for number in range(4)]
    requests = RandomRequests(SEED, orderids, target.tokens)
    seen: dict[str, set[grpc.StatusCode]] = {method.full_name: set() for method in METHODS}

    callers = Callers(target.suite.services.targets)
    for _ in range(EXAMPLES):
        calls = [callers.call(method, requests.request(method), requests.metadata()) for method in METHODS]
        for method, code in zip(METHODS, await asyncio.gather(*calls), strict=True):
            seen[method.full_name].add(code)
    await callers.close()

    for name, codes in seen.items():
        assert grpc.StatusCode.INVALID_ARGUMENT in codes, name
        assert codes & {grpc.StatusCode.OK, grpc.StatusCode.FAILED_PRECONDITION}, f"{name} never succeeded"
        assert (grpc.StatusCode.UNAUTHENTICATED in codes) == (len(target.tokens) > 2), name
    await target.suite.balances(30)
