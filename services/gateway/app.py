"""The application: routes, middleware and exception handlers put together."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from fastapi import APIRouter, FastAPI

from services.gateway import documentation, errors, middleware, routes
from services.gateway.clients import Clients
from services.gateway.middleware import MiddlewareConfig
from services.gateway.order_feed.feed import OrderFeeds
from services.gateway.order_feed.live import LiveOrders
from services.gateway.service_control import service_control
from services.gateway.settings import StreamLimits
from services.gateway.static_ui import UI, UIFiles, mount_docs, static_ui

_DEFAULT_CONFIG = MiddlewareConfig()
_DEFAULT_STREAM_LIMITS = StreamLimits()


@dataclass(slots=True)
class Lifecycle:
    """Whether the process is draining, and therefore not ready."""

    draining: bool = False


def create_app(
    clients: Clients,
    lifecycle: Lifecycle,
    config: MiddlewareConfig = _DEFAULT_CONFIG,
    feeds: OrderFeeds | None = None,
    stream_limits: StreamLimits = _DEFAULT_STREAM_LIMITS,
    trace_url: str = "",
    control: Path | None = None,
    docs: bool = True,
) -> FastAPI:
    """Return the gateway over `clients`, which are opened at its start and closed at its end.

    Without `feeds` there are no live events. With `control`, the control socket of a suite on this machine,
    services can be stopped and started from the web UI. With `docs` the API's document has a page.
    """
    app = _empty_app(clients)
    app.state.clients = clients
    app.state.lifecycle = lifecycle
    app.state.live_orders = LiveOrders(clients, feeds, stream_limits)
    app.state.ui = UIFiles()
    for router in _routers():
        app.include_router(router)
    if control is not None:
        app.include_router(service_control(control))
    authenticated, can_control = config.tokens is not None, control is not None
    app.include_router(static_ui(app.state.ui, authenticated, can_control, docs, trace_url))
    app.mount(UI, app.state.ui)
    if docs:
        mount_docs(app)
    errors.install(app)
    middleware.install(app, config, lambda: lifecycle.draining)
    documentation.install(app, authenticated=authenticated)
    return app


def _routers() -> Iterator[APIRouter]:
    """Yield the `router` of each module of routes/."""
    for module in iter_modules(routes.__path__):
        yield import_module(f"{routes.__name__}.{module.name}").router


def _empty_app(clients: Clients) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with clients:
            yield

    # FastAPI's own pages load scripts from another host.
    app = FastAPI(title="api-gateway", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.router.redirect_slashes = False
    app.summary = "Carts, order tickets and the catalogue"
    return app
