"""Stopping and starting services from the page: what is done, and for whom nothing is done."""

from contextlib import asynccontextmanager

import httpx
import pytest

from contract.control import serve_control
from sagakit.errors import Unavailable
from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import SERVICES, Clients
from services.gateway.middleware import MiddlewareConfig
from tests.service.gateway_harness import assert_problem, client_of

FROM_THE_PAGE = {"x-saga-page": "1", "host": "127.0.0.1:8080"}


class Suite:
    """Stands in for `sagactl up`: stock has two processes, and what is asked is written down."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.programs = dict.fromkeys(
            ["purchase", "stock-1", "stock-2", "payment", "delivery", "gateway"], "running"
        )

    async def answer(self, do: str, name: str) -> list[dict[str, str]]:
        self.asked.append((do, name))
        if name == "delivery":
            raise Unavailable("delivery does not come up")
        mine = [each for each in self.programs if not name or each == name or each.rpartition("-")[0] == name]
        if do in {"stop", "start"}:
            self.programs |= dict.fromkeys(mine, "stopped" if do == "stop" else "running")
        return [{"name": each, "state": self.programs[each]} for each in mine]


@asynccontextmanager
async def page_of(suite: Suite, config: MiddlewareConfig | None = None):
    clients = Clients(dict.fromkeys(SERVICES, "ipv4:127.0.0.1:1"), 1)
    async with serve_control(suite.answer) as control:
        app = create_app(clients, Lifecycle(), config=config or MiddlewareConfig(), control=control)
        async with client_of(app) as client:
            yield client


async def test_the_four_services_are_shown_with_their_processes():
    async with page_of(Suite()) as client:
        answer = await client.get("/ui/services", headers=FROM_THE_PAGE)

    assert answer.json() == {
        "services": [
            {"name": "purchase", "processes": 1, "running": 1},
            {"name": "stock", "processes": 2, "running": 2},
            {"name": "payment", "processes": 1, "running": 1},
            {"name": "delivery", "processes": 1, "running": 1},
        ]
    }


async def test_a_service_is_stopped_with_all_its_processes_and_started():
    suite = Suite()

    async with page_of(suite) as client:
        stopped = await client.post("/ui/services/stock:stop", headers=FROM_THE_PAGE)
        started = await client.post("/ui/services/stock:start", headers=FROM_THE_PAGE)

    assert stopped.json() == {"name": "stock", "processes": 2, "running": 0}
    assert started.json() == {"name": "stock", "processes": 2, "running": 2}
    assert suite.asked == [("stop", "stock"), ("start", "stock")]


@pytest.mark.parametrize(
    "what", ["gateway:stop", "pubsub-emulator:stop", "stock-1:stop", "stock:restart", "stock:ps"]
)
async def test_nothing_else_is_stopped_or_done(what):
    suite = Suite()

    async with page_of(suite) as client:
        answer = await client.post(f"/ui/services/{what}", headers=FROM_THE_PAGE)

    assert_problem(answer, 404, "no-such-path")
    assert suite.asked == []


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1:8080"},
        FROM_THE_PAGE | {"origin": "https://evil.example"},
        FROM_THE_PAGE | {"origin": "null"},
        FROM_THE_PAGE | {"origin": "http://127.0.0.1:9999"},
        FROM_THE_PAGE | {"sec-fetch-site": "cross-site"},
        FROM_THE_PAGE | {"sec-fetch-site": "same-site"},
        # A name that somebody made to point at this machine.
        FROM_THE_PAGE | {"host": "evil.example:8080", "origin": "http://evil.example:8080"},
        FROM_THE_PAGE | {"host": "[evil"},
    ],
)
async def test_no_foreign_page_stops_anything(headers):
    suite = Suite()

    async with page_of(suite) as client:
        stopped = await client.post("/ui/services/stock:stop", headers=headers)
        seen = await client.get("/ui/services", headers=headers)

    assert_problem(stopped, 403, "not-from-here")
    assert_problem(seen, 403, "not-from-here")
    assert suite.asked == []


async def test_the_header_cannot_be_sent_by_a_page_that_may_read_the_api():
    async with page_of(Suite(), MiddlewareConfig(cors_origins=["https://shop.example"])) as client:
        asked = await client.options(
            "/ui/services/stock:stop",
            headers={
                "origin": "https://shop.example",
                "access-control-request-method": "POST",
                "access-control-request-headers": "x-saga-page",
            },
        )

    assert asked.status_code == 400


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:8080"])
async def test_the_page_of_this_machine_does_whatever_it_is_called(host):
    own = {"x-saga-page": "1", "host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}

    async with page_of(Suite()) as client:
        answer = await client.post("/ui/services/payment:stop", headers=own)

    assert answer.status_code == 200


async def test_a_suite_that_cannot_do_it_says_why():
    async with page_of(Suite()) as client:
        answer = await client.post("/ui/services/delivery:start", headers=FROM_THE_PAGE)

    problem = assert_problem(answer, 503, "no-control")
    assert "does not come up" in problem["detail"]


async def test_a_suite_that_is_gone_is_no_crash(tmp_path):
    clients = Clients(dict.fromkeys(SERVICES, "ipv4:127.0.0.1:1"), 1)

    async with client_of(create_app(clients, Lifecycle(), control=tmp_path / "gone")) as client:
        assert_problem(await client.get("/ui/services", headers=FROM_THE_PAGE), 503, "no-control")


async def test_without_a_socket_there_is_nothing_to_ask():
    clients = Clients(dict.fromkeys(SERVICES, "ipv4:127.0.0.1:1"), 1)

    async with client_of(create_app(clients, Lifecycle())) as client:
        answers: list[httpx.Response] = [
            await client.get("/ui/services", headers=FROM_THE_PAGE),
            await client.post("/ui/services/stock:stop", headers=FROM_THE_PAGE),
        ]

    assert {answer.status_code for answer in answers} <= {404, 405}


@pytest.mark.parametrize(
    ("host", "can_control"), [("127.0.0.1:8080", True), ("shop.example", False), ("[evil", False)]
)
async def test_the_page_is_told_whether_it_may(host, can_control):
    async with page_of(Suite()) as client:
        config = (await client.get("/ui/config", headers={"host": host})).json()

    assert config["can_control"] is can_control
