"""Composition root of the gateway."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog

from contract.live_tickets import ticket_subscriber
from contract.shop import SHOP
from sagakit.auth.jwt import TokenVerifier
from sagakit.backends import Broker, open_broker
from sagakit.runtime import Runtime
from sagakit.settings import SettingsError
from sagakit.telemetry import logging as logs
from sagakit.telemetry.instruments import Metrics
from sagakit.telemetry.prometheus import serve_metrics
from sagakit.telemetry.tracing import open_tracer
from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import Clients
from services.gateway.edge import Edge
from services.gateway.records import RecordReader
from services.gateway.server import listen, serve
from services.gateway.settings import Settings
from services.gateway.watches import Watches

log = structlog.get_logger()


def main() -> None:
    """Serve until SIGTERM or SIGINT; exit 1, naming the variable at fault, where it cannot."""
    try:
        settings = Settings.from_environ(os.environ)
        logs.configure("gateway", settings.logs, SHOP.log_fields)
        asyncio.run(_run(settings, listen(settings.host, settings.port)))
    except (SettingsError, OSError) as error:
        sys.exit(f"gateway: {error}")


async def _run(settings: Settings, at: socket.socket) -> None:
    async with AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(open_tracer("gateway", os.environ))
        metrics = stack.enter_context(serve_metrics("gateway", settings.host, settings.metrics_port))
        clients = Clients(settings.targets, settings.limits.request_seconds, tracer)
        watches = Watches(RecordReader(clients).read, Runtime())
        if settings.messages is None:
            log.warning("no event streams", why="neither BACKEND nor GOOGLE_CLOUD_PROJECT is set")
        else:
            messages = await stack.enter_async_context(open_broker(settings.messages, Runtime()))
            await stack.enter_async_context(_hearing(messages, watches))
        if settings.auth is None:
            log.warning("authentication disabled", why="AUTH_ISSUER is not set: nobody has to sign in")
        lifecycle = Lifecycle()
        app = create_app(
            clients,
            lifecycle,
            edge=_edge(settings, metrics),
            watches=watches if settings.messages else None,
            patience=settings.patience,
            tracer=tracer,
            trace_url=settings.trace_url,
            control=settings.control,
        )

        def drain() -> None:
            lifecycle.draining = True

        await serve(app, at, drain, settings.drain_delay_seconds, watches.close)


def _edge(settings: Settings, metrics: Metrics) -> Edge:
    return Edge(
        settings.limits,
        tokens=TokenVerifier.from_settings(settings.auth, Runtime(), SHOP.operator_scope)
        if settings.auth
        else None,
        cors_origins=settings.cors_origins,
        encrypted=settings.production,
        metrics=metrics,
    )


@asynccontextmanager
async def _hearing(messages: Broker, watches: Watches) -> AsyncIterator[None]:
    """Meanwhile what is published reaches the watches."""
    broadcast = ticket_subscriber(messages, watches.hear, watches.catch_up, Runtime())
    async with asyncio.TaskGroup() as tasks:
        hearing = tasks.create_task(broadcast.run())
        try:
            yield
        finally:
            hearing.cancel()


if __name__ == "__main__":
    main()
