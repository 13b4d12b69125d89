"""Stopping and starting services from the web UI, and the requests that are rejected."""

from contextlib import asynccontextmanager

import httpx
import pytest

from contract.topology import TOPOLOGY
from sagakit.auth.jwt import TokenVerifier
from sagakit.ctl.local.control import serve_control
from sagakit.ctl.project import is_process_of
from sagakit.errors import Unavailable
from sagakit.runtime import Runtime
from sagakit.settings import AuthSettings
from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import SERVICES, Clients
from services.gateway.middleware import MiddlewareConfig
from tests.service.gateway_harness import assert_problem, client_of
from tests.support.issuer import an_issuer

FROM_THE_UI = {"x-saga-page": "1", "host": "127.0.0.1:8080"}


class Suite:
    """Stands in for `sagactl up`, with two processes of stock; records the requests."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self.processes = dict.fromkeys(
            [
                "stock-1",
                "stock-2",
                "stock-history",
                *(name for name in TOPOLOGY.names if name != "stock"),
                "gateway",
            ],
            "running",
        )

    async def answer(self, action: str, name: str) -> list[dict[str, str]]:
        self.requests.append((action, name))
        if name == "delivery":
            raise Unavailable("delivery does not become ready")
        selected = [each for each in self.processes if not name or is_process_of(name, each)]
        if action in {"stop", "start"}:
            self.processes |= dict.fromkeys(selected, "stopped" if action == "stop" else "running")
        return [{"name": each, "state": self.processes[each]} for each in selected]


@asynccontextmanager
async def gateway_of(suite: Suite, config: MiddlewareConfig | None = None):
    clients = Clients(dict.fromkeys(SERVICES, "ipv4:127.0.0.1:1"), 1)
    async with serve_control(suite.answer) as control:
        app = create_app(clients, Lifecycle(), config=config or MiddlewareConfig(), control=control)
        async with client_of(app) as client:
            yield client


async def test_services_are_listed_with_their_processes():
    async with gateway_of(Suite()) as client:
        answer = await client.get("/ui/services", headers=FROM_THE_UI)

    counts = {name: 2 if name == "stock" else 1 for name in TOPOLOGY.names}
    assert answer.json() == {
        "services": [{"name": name, "processes": count, "running": count} for name, count in counts.items()]
    }


async def test_all_processes_of_a_service_are_stopped_and_started():
    suite = Suite()

    async with gateway_of(suite) as client:
        stopped = await client.post("/ui/services/stock:stop", headers=FROM_THE_UI)
        started = await client.post("/ui/services/stock:start", headers=FROM_THE_UI)

    assert stopped.json() == {"name": "stock", "processes": 2, "running": 0}
    assert started.json() == {"name": "stock", "processes": 2, "running": 2}
    assert suite.requests == [("stop", "stock"), ("start", "stock")]


@pytest.mark.parametrize(
    "target", ["gateway:stop", "pubsub-emulator:stop", "stock-1:stop", "stock:restart", "stock:ps"]
)
async def test_other_processes_and_actions_are_not_found(target):
    suite = Suite()

    async with gateway_of(suite) as client:
        answer = await client.post(f"/ui/services/{target}", headers=FROM_THE_UI)

    assert_problem(answer, 404, "not-found")
    assert suite.requests == []


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1:8080"},
        FROM_THE_UI | {"origin": "https://evil.example"},
        FROM_THE_UI | {"origin": "null"},
        FROM_THE_UI | {"origin": "http://127.0.0.1:9999"},
        FROM_THE_UI | {"sec-fetch-site": "cross-site"},
        FROM_THE_UI | {"sec-fetch-site": "same-site"},
        # DNS rebinding: a foreign name that resolves to this machine.
        FROM_THE_UI | {"host": "evil.example:8080", "origin": "http://evil.example:8080"},
        FROM_THE_UI | {"host": "192.0.2.7:8080"},
    ],
)
async def test_cross_origin_requests_are_rejected(headers):
    suite = Suite()

    async with gateway_of(suite, MiddlewareConfig(allowed_hosts=["evil.example"])) as client:
        stopped = await client.post("/ui/services/stock:stop", headers=headers)
        listed = await client.get("/ui/services", headers=headers)

    assert_problem(stopped, 403, "cross-origin-forbidden")
    assert_problem(listed, 403, "cross-origin-forbidden")
    assert suite.requests == []


async def test_cors_preflight_for_the_header_fails():
    async with gateway_of(Suite(), MiddlewareConfig(cors_origins=["https://shop.example"])) as client:
        preflight = await client.options(
            "/ui/services/stock:stop",
            headers={
                "origin": "https://shop.example",
                "access-control-request-method": "POST",
                "access-control-request-headers": "x-saga-page",
            },
        )

    assert preflight.status_code == 400


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080"])
async def test_every_loopback_name_is_accepted(host):
    own = {"x-saga-page": "1", "host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}

    async with gateway_of(Suite()) as client:
        answer = await client.post("/ui/services/payment:stop", headers=own)

    assert answer.status_code == 200


async def test_failed_action_returns_503_with_its_reason():
    async with gateway_of(Suite()) as client:
        answer = await client.post("/ui/services/delivery:start", headers=FROM_THE_UI)

    problem = assert_problem(answer, 503, "control-unavailable")
    assert "does not become ready" in problem["detail"]


async def test_missing_suite_returns_503(tmp_path):
    clients = Clients(dict.fromkeys(SERVICES, "ipv4:127.0.0.1:1"), 1)

    async with client_of(create_app(clients, Lifecycle(), control=tmp_path / "gone")) as client:
        assert_problem(await client.get("/ui/services", headers=FROM_THE_UI), 503, "control-unavailable")


async def test_without_a_control_socket_the_routes_do_not_exist():
    clients = Clients(dict.fromkeys(SERVICES, "ipv4:127.0.0.1:1"), 1)

    async with client_of(create_app(clients, Lifecycle())) as client:
        answers: list[httpx.Response] = [
            await client.get("/ui/services", headers=FROM_THE_UI),
            await client.post("/ui/services/stock:stop", headers=FROM_THE_UI),
        ]

    assert {answer.status_code for answer in answers} <= {404, 405}


async def test_only_operators_can_control():
    suite = Suite()
    with an_issuer() as issuer:
        settings = AuthSettings.from_environ(issuer.environ)
        assert settings is not None
        tokens = TokenVerifier.from_settings(settings, Runtime(), "saga.operator")
        async with gateway_of(suite, MiddlewareConfig(tokens=tokens)) as client:
            user = FROM_THE_UI | {"authorization": f"Bearer {issuer.token('alice')}"}
            operator = FROM_THE_UI | {"authorization": f"Bearer {issuer.token(scope='saga.operator')}"}

            rejected = [
                await client.get("/ui/services", headers=user),
                await client.post("/ui/services/stock:stop", headers=user),
            ]
            assert suite.requests == []
            listed = await client.get("/ui/services", headers=operator)
            stopped = await client.post("/ui/services/stock:stop", headers=operator)

    for answer in rejected:
        assert_problem(answer, 403, "not-an-operator")
    assert (listed.status_code, stopped.status_code) == (200, 200)


@pytest.mark.parametrize(("host", "can_control"), [("127.0.0.1:8080", True), ("shop.example", False)])
async def test_only_loopback_names_can_control(host, can_control):
    async with gateway_of(Suite(), MiddlewareConfig(allowed_hosts=["shop.example"])) as client:
        config = (await client.get("/ui/config", headers={"host": host})).json()

    assert config["can_control"] is can_control
