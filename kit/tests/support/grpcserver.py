"""A gRPC server whose methods a test defines."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc

Behaviour = Callable[[bytes, Any], Awaitable[bytes]]


def registering(service: str, methods: Mapping[str, Behaviour]) -> Callable[[grpc.aio.Server], None]:
    """Return a function that registers methods of bytes to bytes, like generated code."""
    handlers = {name: grpc.unary_unary_rpc_method_handler(each) for name, each in methods.items()}
    return lambda server: server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, handlers),)
    )


@asynccontextmanager
async def serving(service: str, methods: Mapping[str, Behaviour]) -> AsyncIterator[str]:
    """Start a server with only this service; yield its "host:port"."""
    server = grpc.aio.server()
    registering(service, methods)(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
