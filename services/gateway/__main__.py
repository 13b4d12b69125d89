"""Composition root of the gateway."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import structlog
from opentelemetry.trace import Tracer

from contract.live_tickets import ticket_subscriber
from contract.shop import SHOP
from sagakit.auth.jwt import TokenVerifier
from sagakit.backends import Broker, open_broker
from sagakit.concurrency import first_completed
from sagakit.fanout import FanoutSubscriber
from sagakit.runtime import Runtime
from sagakit.settings import SettingsError
from sagakit.telemetry import logging as logs
from sagakit.telemetry.instruments import Metrics
from sagakit.telemetry.prometheus import serve_metrics
from sagakit.telemetry.tracing import open_tracer
from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import Clients
from services.gateway.middleware import MiddlewareConfig
from services.gateway.order_feed.feed import OrderFeeds
from services.gateway.order_feed.snapshot import SnapshotReader
from services.gateway.server import listen, serve
from services.gateway.settings import Settings

log = structlog.get_logger()

UNFOLLOWED_SECONDS = 60.0
"""How long after the last follower the ephemeral subscriptions are kept for the next one."""


def main() -> None:
    """Serve until SIGTERM or SIGINT; exit 1, naming the variable at fault, if that is impossible."""
    try:
        settings = Settings.from_environ(os.environ)
        logs.configure("gateway", settings.logs, SHOP.log_fields)
        asyncio.run(_run(settings, listen(settings.host, settings.port)))
    except SettingsError as error:
        sys.exit(f"gateway: {error}")


async def _run(settings: Settings, listener: socket.socket) -> None:
    async with AsyncExitStack() as stack:
        tracer = await stack.enter_async_context(open_tracer("gateway", os.environ))
        metrics = stack.enter_context(serve_metrics("gateway", settings.host, settings.metrics_port))
        clients = Clients(settings.targets, settings.limits.request_seconds, tracer)
        feeds = OrderFeeds(SnapshotReader(clients).read, Runtime())
        if settings.messages is None:
            log.warning("no event streams", reason="neither BACKEND nor GOOGLE_CLOUD_PROJECT is set")
        else:
            messages = await stack.enter_async_context(open_broker(settings.messages, Runtime()))
            await stack.enter_async_context(receiving(messages, feeds, Runtime()))
        if settings.auth is None:
            log.warning("authentication disabled", reason="AUTH_ISSUER is not set")
        lifecycle = Lifecycle()
        app = create_app(
            clients,
            lifecycle,
            middleware_config(settings, metrics, tracer),
            feeds=feeds if settings.messages else None,
            stream_limits=settings.stream_limits,
            trace_url=settings.trace_url,
            control=settings.control,
            docs=settings.serves_docs,
        )

        def drain() -> None:
            lifecycle.draining = True

        await serve(app, listener, drain, settings.drain_delay_seconds, feeds.close, settings.limits)


def middleware_config(settings: Settings, metrics: Metrics, tracer: Tracer | None) -> MiddlewareConfig:
    """Return the configuration of the middleware."""
    auth, scope = settings.auth, SHOP.operator_scope
    return MiddlewareConfig(
        settings.limits,
        tokens=TokenVerifier.from_settings(auth, Runtime(), scope) if auth else None,
        cors_origins=settings.cors_origins,
        allowed_hosts=settings.allowed_hosts,
        https_only=settings.production,
        metrics=metrics,
        tracer=tracer,
    )


@asynccontextmanager
async def receiving(messages: Broker, feeds: OrderFeeds, runtime: Runtime) -> AsyncIterator[None]:
    """Context manager: pass published events on to the feeds inside the block, while there are any."""
    subscriber = ticket_subscriber(messages, feeds.receive, feeds.refresh, runtime)
    feeds.is_receiving = lambda: subscriber.is_receiving
    task = asyncio.create_task(_receive_while_followed(subscriber, feeds))
    task.add_done_callback(_drain_if_failed)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _receive_while_followed(subscriber: FanoutSubscriber, feeds: OrderFeeds) -> None:
    """Have subscriptions only while orders are followed; until they exist, feeds read the records."""
    while True:
        await feeds.followed()
        await first_completed(subscriber.run(), feeds.unfollowed(UNFOLLOWED_SECONDS))


def _drain_if_failed(task: "asyncio.Task[None]") -> None:
    """Have this process end, with an error but in order, after a defect in receiving events."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("receiving events failed", exc_info=error)
        signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    main()
