"""Fake services behind real gRPC, and a gateway in front of them."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import SERVICES, Clients
from services.gateway.middleware import MiddlewareConfig
from services.gateway.settings import RequestLimits

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
WAIT_SECONDS = 10


@dataclass
class Failure:
    """An RPC that fails."""

    code: grpc.StatusCode
    message: str = "no"
    metadata: tuple[tuple[str, bytes], ...] = ()


@dataclass
class FakeService:
    """Stands in for a service. `answers` by RPC: messages, Failures, or coroutine functions that return one;
    the last is repeated. Other RPCs are answered with default values."""

    name: str
    answers: dict[str, Sequence[Any]] = field(default_factory=dict)
    asked: list[tuple[str, Message]] = field(default_factory=list)
    health: HealthServicer = field(default_factory=HealthServicer)
    port: int = 0
    deadlines: list[float | None] = field(default_factory=list)
    """Remaining seconds of each call."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FakeService"]:
        """Context manager: listen at a free port, and at the same one when entered again."""
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        methods = SERVICES[self.name].methods
        handlers = {method.name: self._handler(method) for method in methods}
        generic = grpc.method_handlers_generic_handler(SERVICES[self.name].full_name, handlers)
        server.add_generic_rpc_handlers((generic,))
        health_pb2_grpc.add_HealthServicer_to_server(self.health, server)
        await self.health.set("", SERVING)
        self.port = server.add_insecure_port(self.address)
        await server.start()
        try:
            yield self
        finally:
            await server.stop(None)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def _handler(self, method: Any) -> Any:
        async def behave(request: Message, context: Any) -> Message:
            times = sum(name == method.name for name, _ in self.asked)
            self.asked.append((method.name, request))
            self.deadlines.append(context.time_remaining())
            scripted = self.answers.get(method.name) or [_empty(method)]
            answer = scripted[min(times, len(scripted) - 1)]
            if callable(answer):
                answer = await answer()
            if isinstance(answer, Failure):
                await context.abort(answer.code, answer.message, answer.metadata)
            return answer

        return grpc.unary_unary_rpc_method_handler(
            behave,
            GetMessageClass(method.input_type).FromString,
            GetMessageClass(method.output_type).SerializeToString,
        )


def _empty(method: Any) -> Message:
    """An answer whose fields have their defaults; a service never leaves out the resource."""
    message = GetMessageClass(method.output_type)()
    for each in method.output_type.fields:
        if each.message_type and not each.is_repeated:
            getattr(message, each.name).SetInParent()
    return message


@asynccontextmanager
async def fakes(**answers: Sequence[Any]) -> AsyncIterator[dict[str, FakeService]]:
    """Context manager: all services by name, running; `answers` by RPC."""
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(FakeService(name, answers).running()) for name in SERVICES
        }


@asynccontextmanager
async def client_of(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Context manager: a client of `app`, which is started and stopped with it."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        yield await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://localhost")
        )


@asynccontextmanager
async def gateway(
    targets: Mapping[str, str],
    *,
    timeout_seconds: float = WAIT_SECONDS,
    limit: int = 100,
    lifecycle: Lifecycle | None = None,
) -> AsyncIterator[httpx.AsyncClient]:
    """Context manager: a client of a gateway to those gRPC targets; the others cannot be reached."""
    unreachable = dict.fromkeys(SERVICES, "ipv4:127.0.0.1:1")
    app = create_app(
        Clients({**unreachable, **targets}, timeout_seconds),
        lifecycle or Lifecycle(),
        MiddlewareConfig(RequestLimits(request_seconds=timeout_seconds, concurrent_requests=limit)),
    )
    async with client_of(app) as client:
        yield client


def targets_of(services: Iterable[FakeService]) -> dict[str, str]:
    return {service.name: f"ipv4:{service.address}" for service in services}


@asynccontextmanager
async def suite(
    *, timeout_seconds: float = WAIT_SECONDS, limit: int = 100, **answers: Sequence[Any]
) -> AsyncIterator[tuple[httpx.AsyncClient, FakeService]]:
    """Context manager: a client of a gateway to fakes of every service, and the fake of purchase."""
    async with fakes(**answers) as services:
        targets = targets_of(services.values())
        async with gateway(targets, timeout_seconds=timeout_seconds, limit=limit) as client:
            yield client, services["purchase"]


def assert_problem(response: httpx.Response, status: int, reason: str) -> dict[str, Any]:
    """Return the problem in `response`, with everything RFC 9457 and docs/api.md promise."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (problem["type"], problem["status"], problem["reason"]) == ("about:blank", status, reason)
    assert problem["title"]
    assert problem["detail"]
    return problem


def assert_loads_own_files_only(page: httpx.Response) -> None:
    """The page is there, and its Content-Security-Policy allows no other origin and nothing inline."""
    policy = dict(each.split(" ", 1) for each in page.headers["content-security-policy"].split("; "))
    assert page.status_code == 200
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
