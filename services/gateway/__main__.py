"""Composition root of the gateway."""

import asyncio
import os
import socket
import sys

from sagakit import log
from sagakit.settings import BadSetting
from services.gateway.app import Lifecycle, create_app
from services.gateway.clients import Clients
from services.gateway.server import listen, serve
from services.gateway.settings import Settings


def main() -> None:
    """Serve until SIGTERM or SIGINT; exit 1, naming the variable at fault, where it cannot."""
    try:
        settings = Settings.from_environ(os.environ)
        log.configure("gateway", settings.log_format)
        at = listen(settings.host, settings.port)
    except BadSetting as error:
        sys.exit(f"gateway: {error}")
    asyncio.run(_run(settings, at))


async def _run(settings: Settings, at: socket.socket) -> None:
    clients = Clients(settings.targets, settings.request_timeout_seconds)
    lifecycle = Lifecycle()
    app = create_app(
        clients,
        lifecycle,
        body_timeout_seconds=settings.request_timeout_seconds,
        max_concurrent_requests=settings.max_concurrent_requests,
    )

    def drain() -> None:
        lifecycle.draining = True

    await serve(app, at, drain, settings.drain_delay_seconds)


if __name__ == "__main__":
    main()
