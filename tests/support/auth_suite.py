"""A suite that requires authentication, with its gateway and an issuer of tokens."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from sagakit.auth.jwt import TokenVerifier
from sagakit.runtime import Runtime
from sagakit.settings import AuthSettings
from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import Clients
from services.gateway.middleware import MiddlewareConfig
from services.gateway.order_feed.feed import OrderFeeds
from services.gateway.order_feed.snapshot import SnapshotReader
from services.gateway.settings import StreamLimits
from tests.service.gateway_harness import WAIT_SECONDS, client_of
from tests.support.eventually import eventually
from tests.support.issuer import Issuer, an_issuer
from tests.support.suite import Suite, running_suite

SCOPE = "saga.operator"


@dataclass
class AuthSuite:
    """A suite that trusts an issuer, and its gateway."""

    running: Suite
    issuer: Issuer
    client: httpx.AsyncClient
    backend: dict[str, str]

    async def wait_until_reserved(self, orderid: str) -> None:
        """Return once stock has reserved the order's items."""
        path = f"/v1/orders/{orderid}"

        async def reserved() -> bool:
            response = await self.client.get(path, headers=self.as_("root", scope=SCOPE))
            return bool(response.json()["status"] == "reserved")

        await eventually(reserved, 20)

    def as_(self, sub: str, **claims) -> dict[str, str]:
        return bearer(self.issuer.token(sub, **claims))


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def metadata(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


@asynccontextmanager
async def an_auth_suite(tmp_path: Path) -> AsyncIterator[AuthSuite]:
    with an_issuer() as issuer:
        backend = {"BACKEND": "embedded", "EMBEDDED_FILE": str(tmp_path / "data.sqlite3"), **issuer.environ}
        operator = issuer.token("root", scope=SCOPE)
        async with (
            running_suite(backend, operator_token=operator) as running,
            a_gateway(running, issuer) as client,
        ):
            yield AuthSuite(running, issuer, client, backend)


@asynccontextmanager
async def a_gateway(running: Suite, issuer: Issuer) -> AsyncIterator[httpx.AsyncClient]:
    settings = AuthSettings.from_environ(issuer.environ)
    assert settings is not None
    clients = Clients(running.services.targets, WAIT_SECONDS)
    app = create_app(
        clients,
        Lifecycle(),
        MiddlewareConfig(tokens=TokenVerifier.from_settings(settings, Runtime(), "saga.operator")),
        OrderFeeds(SnapshotReader(clients).read, Runtime()),
        StreamLimits(heartbeat_seconds=0.1),
    )
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(client_of(app))


async def order(suite: AuthSuite, sub: str, cartid: str) -> str:
    headers = suite.as_(sub)
    for method, path, body in (
        ("PUT", f"/v1/carts/{cartid}", None),
        ("PUT", f"/v1/carts/{cartid}/items/blue", {"count": 3}),
        ("POST", f"/v1/carts/{cartid}:close", None),
    ):
        assert (await suite.client.request(method, path, json=body, headers=headers)).is_success
    response = await suite.client.post(f"/v1/carts/{cartid}:checkout", headers=headers)
    assert response.status_code == 202, response.text
    return response.json()["orderid"]


async def found(client: httpx.AsyncClient, path: str, orderid: str, headers) -> httpx.Response | None:
    response = await client.post(path, json={"orderid": orderid}, headers=headers)
    return response if response.is_success else None
