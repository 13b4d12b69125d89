"""A gRPC service of one method that does what a test says."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc

Behaviour = Callable[[bytes, Any], Awaitable[bytes]]


def registering(service: str, methods: Mapping[str, Behaviour]) -> Callable[[grpc.aio.Server], None]:
    """Registers methods of bytes to bytes, as generated code would."""
    handlers = {name: grpc.unary_unary_rpc_method_handler(each) for name, each in methods.items()}
    return lambda server: server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, handlers),)
    )


@asynccontextmanager
async def serving(service: str, methods: Mapping[str, Behaviour]) -> AsyncIterator[str]:
    """Yields the "host:port" of a server that has such a service and nothing else."""
    server = grpc.aio.server()
    registering(service, methods)(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)
